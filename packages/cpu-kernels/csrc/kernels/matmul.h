// matmul: out [T, N] = x [T, K] · weightᵀ (+ bias), weight [N, K] packed in groups of 16 rows (README.md): a row is a lane.
//
// Order of operations, the same for every tile, range and thread:
// - q4_0, q8_0: the 32 products of a block are summed as integers, exactly; blocks follow one another as
//   sum = fma(float(integers), weight scale · activation scale, sum).
// - f16, f32: 4 sums over k mod 4, each by fma in ascending k, joined as (0 + 1) + (2 + 3).
// The bias is added last. No sum crosses lanes.
#pragma once
#include "quantize.h"

namespace thermocline::THERMOCLINE_ISA {
namespace {

struct FormatQ4 {
  static constexpr int64_t block_bytes = packed_q4_0_bytes;
  static constexpr int32_t offset = 8;

  // integers[t] = Σ (nibble - 8) · x over one block, for T tokens.
  template <int T>
  static THERMOCLINE_INLINE void dot(const std::byte* chunks, const QuantizedBlock* x, I32x16 (&integers)[T]) {
    // Two sums for a single token, whose 8 steps would else wait for one another.
    constexpr int S = T == 1 ? 2 : 1;
    NibbleSum sums[T * S];
#pragma GCC unroll 8
    for (int t = 0; t < T; t++) sums[t] = begin_nibbles(x[t].correction);
    if constexpr (S == 2) sums[1] = begin_nibbles(0);
#pragma GCC unroll 4
    for (int c = 0; c < 4; c++) {
      const Bytes packed = load_bytes(chunks + c * packed_chunk_bytes);
      const Bytes low = low_nibbles(packed);
      const Bytes high = high_nibbles(packed);
#pragma GCC unroll 8
      for (int t = 0; t < T; t++) {
        sums[t] = dot_nibbles(sums[t], low, x[t].values + 4 * c);
        sums[t * S + S - 1] = dot_nibbles(sums[t * S + S - 1], high, x[t].values + 16 + 4 * c);
      }
    }
#pragma GCC unroll 8
    for (int t = 0; t < T; t++) integers[t] = end_nibbles(sums[t], x[t].correction);
    if constexpr (S == 2) integers[0] = add(integers[0], end_nibbles(sums[1], 0));
  }
};

struct FormatQ8 {
  static constexpr int64_t block_bytes = packed_q8_0_bytes;
  static constexpr int32_t offset = byte_offset;

  template <int T>
  static THERMOCLINE_INLINE void dot(const std::byte* chunks, const QuantizedBlock* x, I32x16 (&integers)[T]) {
    constexpr int S = T == 1 ? 2 : 1;
    I32x16 sums[T * S];
#pragma GCC unroll 8
    for (int t = 0; t < T; t++) sums[t] = splat_int(x[t].correction);
    if constexpr (S == 2) sums[1] = splat_int(0);
#pragma GCC unroll 8
    for (int c = 0; c < 8; c++) {
      const Bytes bytes = offset_bytes(load_bytes(chunks + c * packed_chunk_bytes));
#pragma GCC unroll 8
      for (int t = 0; t < T; t++) {
        I32x16& sum = sums[S == 2 ? c % 2 : t];
        sum = dot_bytes(sum, bytes, x[t].values + 4 * c);
      }
    }
#pragma GCC unroll 8
    for (int t = 0; t < T; t++) integers[t] = sums[t];
    if constexpr (S == 2) integers[0] = add(sums[0], sums[1]);
  }
};

// Adds the bias to T sums and stores the rows that exist.
struct OutputTile {
  const TensorView& out;
  const float* bias;  // nullptr: none
  int64_t num_rows;

  template <int T>
  THERMOCLINE_INLINE void store_sums(const F32x16 (&sums)[T], int64_t group, int64_t token) const {
    const int64_t row = group * rows_per_group;
    const int count = static_cast<int>(minimum(rows_per_group, num_rows - row));
    const F32x16 shift = bias != nullptr ? load_lanes(bias + row, count) : splat(0.0f);
#pragma GCC unroll 8
    for (int t = 0; t < T; t++)
      store_lanes(row_of<float>(out, token + t) + row, bias != nullptr ? add(sums[t], shift) : sums[t], count);
  }
};

// One group of 16 rows times T tokens. x: [block][T].
template <typename Format, int T>
inline void multiply_quantised(const OutputTile& output, const std::byte* weight, const QuantizedBlock* x, int64_t num_blocks, int64_t group,
                               int64_t token) {
  F32x16 sums[T];
#pragma GCC unroll 8
  for (int t = 0; t < T; t++) sums[t] = splat(0.0f);
  for (int64_t b = 0; b < num_blocks; b++, weight += Format::block_bytes, x += T) {
    const F32x16 weight_scales = load(reinterpret_cast<const uint16_t*>(weight));
    I32x16 integers[T];
    Format::template dot<T>(weight + packed_scale_bytes, x, integers);
#pragma GCC unroll 8
    for (int t = 0; t < T; t++) sums[t] = fma(to_float(integers[t]), mul(weight_scales, splat(x[t].scale)), sums[t]);
  }
  output.store_sums<T>(sums, group, token);
}

// One group of 16 rows times T tokens. weight: [column][16]; x: T rows, `stride` elements apart.
template <typename W, int T>
inline void multiply_float(const OutputTile& output, const W* weight, const float* x, int64_t stride, int64_t columns, int64_t group,
                           int64_t token) {
  F32x16 sums[T][4];
#pragma GCC unroll 4
  for (int t = 0; t < T; t++) {
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++) sums[t][j] = splat(0.0f);
  }
  int64_t k = 0;
  for (; k + 4 <= columns; k += 4, weight += 4 * rows_per_group) {
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++) {
      const F32x16 w = load(weight + j * rows_per_group);
#pragma GCC unroll 4
      for (int t = 0; t < T; t++) sums[t][j] = fma(w, splat(x[t * stride + k + j]), sums[t][j]);
    }
  }
#pragma GCC unroll 3
  for (int j = 0; j < 3; j++) {
    if (k + j >= columns) break;
    const F32x16 w = load(weight + j * rows_per_group);
#pragma GCC unroll 4
    for (int t = 0; t < T; t++) sums[t][j] = fma(w, splat(x[t * stride + k + j]), sums[t][j]);
  }
  F32x16 joined[T];
#pragma GCC unroll 4
  for (int t = 0; t < T; t++) joined[t] = add(add(sums[t][0], sums[t][1]), add(sums[t][2], sums[t][3]));
  output.store_sums<T>(joined, group, token);
}

// multiply<T>(group, token) over all groups and tokens: tiles of tokens outside, a range of groups inside, so that the range's weights
// stay in the second-level cache while the tokens pass by and each tile of tokens is read once a range.
template <int widest, typename Multiply>
inline void for_each_tile(const TensorView& out, int64_t group_bytes, const Parallel& parallel, const Multiply& multiply) {
  constexpr int64_t cache_bytes = 256 * 1024;
  const int64_t num_tokens = out.shape[0];
  const int64_t num_groups = (out.shape[1] + rows_per_group - 1) / rows_per_group;
  // A single token reads each weight once: its ranges are limited only by the balance between threads.
  const int64_t largest = num_tokens == 1 ? 32 : maximum(1, cache_bytes / maximum(1, group_bytes));
  const int64_t grain = clamp(num_groups / (4 * maximum(1, parallel.threads)), 1, largest);
  parallel_for(parallel, num_groups, grain, [&](int64_t first, int64_t last, int) {
    for (int64_t piece = first; piece < last; piece += largest) {
      const int64_t end = minimum(last, piece + largest);
      for (int64_t token = 0; token < num_tokens;) {
        const int64_t width = tile_width(num_tokens - token, widest);
        for (int64_t group = piece; group < end; group++) {
          if (width == 1) multiply.template tile<1>(group, token);
          else if (width == 2) multiply.template tile<2>(group, token);
          else if constexpr (widest >= 4) {
            if (width == 4) multiply.template tile<4>(group, token);
            else if constexpr (widest >= 8) multiply.template tile<8>(group, token);
          }
        }
        token += width;
      }
    }
  });
}

template <typename Format>
struct QuantisedTiles {
  OutputTile output;
  const std::byte* weight;
  const QuantizedBlock* x;
  int64_t num_blocks;

  template <int T>
  void tile(int64_t group, int64_t token) const {
    multiply_quantised<Format, T>(output, weight + group * num_blocks * Format::block_bytes, x + token * num_blocks, num_blocks, group, token);
  }
};

template <typename W>
struct FloatTiles {
  OutputTile output;
  const W* weight;
  const TensorView& x;
  int64_t columns;

  template <int T>
  void tile(int64_t group, int64_t token) const {
    multiply_float<W, T>(output, weight + group * columns * rows_per_group, row_of<const float>(x, token), x.row_stride, columns, group, token);
  }
};

template <typename Format>
inline Status matmul_quantised(const OutputTile& output, const TensorView& x, const TensorView& weight, const TensorView& workspace,
                               const Parallel& parallel) {
  const int64_t num_blocks = x.shape[1] / quant_block_columns;
  const int64_t needed = x.shape[0] * num_blocks * static_cast<int64_t>(sizeof(QuantizedBlock));
  const int64_t given = present(workspace) ? byte_length_of(workspace) : 0;
  if (given < needed) return {"matmul's workspace is too small", given, needed};
  QuantizedBlock* blocks = reinterpret_cast<QuantizedBlock*>(workspace.data);
  quantize_activations(blocks, x, Format::offset, max_quantised_tile, parallel);
  for_each_tile<max_quantised_tile>(output.out, num_blocks * Format::block_bytes, parallel,
                                    QuantisedTiles<Format>{output, weight.data, blocks, num_blocks});
  return {};
}

template <typename W>
inline Status matmul_float(const OutputTile& output, const TensorView& x, const TensorView& weight, const Parallel& parallel) {
  const int64_t columns = x.shape[1];
  const int64_t group_bytes = columns * rows_per_group * static_cast<int64_t>(sizeof(W));
  for_each_tile<max_float_tile>(output.out, group_bytes, parallel,
                                FloatTiles<W>{output, reinterpret_cast<const W*>(weight.data), x, columns});
  return {};
}

inline Status matmul(const TensorView& out, const TensorView& x, const TensorView& weight, const TensorView& bias,
                     const TensorView& workspace, const Parallel& parallel) {
  if (weight.layout != Layout::packed) return {"matmul's weight is not packed", 0, 0};
  if (out.shape[0] == 0 || out.shape[1] == 0) return {};
  const OutputTile output{out, reinterpret_cast<const float*>(bias.data), out.shape[1]};
  switch (weight.dtype) {
    case DType::q4_0: return matmul_quantised<FormatQ4>(output, x, weight, workspace, parallel);
    case DType::q8_0: return matmul_quantised<FormatQ8>(output, x, weight, workspace, parallel);
    case DType::f16: return matmul_float<uint16_t>(output, x, weight, parallel);
    case DType::f32: return matmul_float<float>(output, x, weight, parallel);
    default: return {"matmul with a weight dtype that this backend does not read", static_cast<int64_t>(weight.dtype), 0};
  }
}

// expert_matmul: out [T, U, N] = x [T, K] or [T, U, K] · weight[slot]ᵀ, slot = expert_slots[expert_ids[t, u]]; zeros where the slot is -1.
inline Status expert_matmul(const TensorView& out, const TensorView& x, const TensorView& weight, const TensorView& expert_ids,
                            const TensorView& expert_slots, const TensorView& workspace, const Parallel& parallel) {
  const int64_t num_tokens = out.shape[0];
  const int64_t num_used = out.shape[1];
  const int64_t num_columns = out.shape[2];
  const int64_t columns = weight.shape[2];
  const int64_t slot_bytes = (num_columns + rows_per_group - 1) / rows_per_group * packed_group_bytes(weight.dtype, columns);
  for (int64_t t = 0; t < num_tokens; t++) {
    for (int64_t u = 0; u < num_used; u++) {
      const int64_t expert = row_of<const int32_t>(expert_ids, t)[u];
      if (expert < 0 || expert >= expert_slots.shape[0]) return {"expert outside the layer", expert, expert_slots.shape[0]};
      const int64_t slot = *row_of<const int32_t>(expert_slots, expert);
      if (slot < -1 || slot >= weight.shape[0]) return {"expert slot outside the weight", slot, weight.shape[0]};
    }
  }
  for (int64_t t = 0; t < num_tokens; t++) {
    for (int64_t u = 0; u < num_used; u++) {
      const int64_t slot = *row_of<const int32_t>(expert_slots, row_of<const int32_t>(expert_ids, t)[u]);
      float* to = row_of<float>(out, t) + u * num_columns;
      if (slot < 0) {
        memset(to, 0, sizeof(float) * static_cast<size_t>(num_columns));
        continue;
      }
      const float* from = row_of<const float>(x, t) + (x.rank == 3 ? u * columns : 0);
      const TensorView out_row{reinterpret_cast<std::byte*>(to), DType::f32, Layout::plain, 2, {1, num_columns, 1, 1}, num_columns};
      const TensorView x_row{const_cast<std::byte*>(reinterpret_cast<const std::byte*>(from)), DType::f32, Layout::plain, 2,
                             {1, columns, 1, 1}, columns};
      const TensorView expert{weight.data + slot * slot_bytes, weight.dtype, weight.layout, 2, {num_columns, columns, 1, 1}, columns};
      const Status status = matmul(out_row, x_row, expert, TensorView{}, workspace, parallel);
      if (status.problem != nullptr) return status;
    }
  }
  return {};
}

}  // namespace
}  // namespace thermocline::THERMOCLINE_ISA
