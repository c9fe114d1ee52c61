// Products with weights whose packed layout feeds the dot instruction as it is: q4_0, q8_0, and the floats.
//
// Order of operations, the same for every tile, range and thread:
// - q4_0, q8_0: the 32 products of a block are summed as integers, exactly; blocks follow one another as
//   sum = fma(float(integers), weight scale · activation scale, sum).
// - bf16, f16, f32: 4 sums over k mod 4, each by fma in ascending k, joined as (0 + 1) + (2 + 3).
// No sum crosses lanes.
#pragma once
#include "quantize.h"

namespace thermocline::THERMOCLINE_ISA {
namespace {

struct InterleavedQ4 {
  static constexpr int64_t block_bytes = packed_q4_0_bytes;
  static constexpr int32_t offset = 8;

  // integers[t] = Σ (nibble - 8) · x over one block, for T tokens.
  template <int T>
  static THERMOCLINE_INLINE void dot(const std::byte* chunks, const QuantizedBlock<int32_t, 1>* x, I32x16 (&integers)[T]) {
    // Two sums for a single token, whose 8 steps would else wait for one another.
    constexpr int S = T == 1 ? 2 : 1;
    NibbleSum sums[T * S];
#pragma GCC unroll 8
    for (int t = 0; t < T; t++) sums[t] = begin_nibbles(x[t].sums[0]);
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
    for (int t = 0; t < T; t++) integers[t] = end_nibbles(sums[t], x[t].sums[0]);
    if constexpr (S == 2) integers[0] = add(integers[0], end_nibbles(sums[1], 0));
  }
};

struct InterleavedQ8 {
  static constexpr int64_t block_bytes = packed_q8_0_bytes;
  static constexpr int32_t offset = byte_offset;

  template <int T>
  static THERMOCLINE_INLINE void dot(const std::byte* chunks, const QuantizedBlock<int32_t, 1>* x, I32x16 (&integers)[T]) {
    constexpr int S = T == 1 ? 2 : 1;
    I32x16 sums[T * S];
#pragma GCC unroll 8
    for (int t = 0; t < T; t++) sums[t] = splat_int(x[t].sums[0]);
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

// One group of 16 rows times T positions. x: [block][T].
template <typename Format>
struct InterleavedTiles {
  const ProductList& list;
  const QuantizedBlock<int32_t, 1>* blocks;

  template <int T>
  void tile(const Product& product, int64_t group, int64_t position) const {
    const int64_t num_blocks = list.columns / quant_block_columns;
    const std::byte* weight = product.weight + group * num_blocks * Format::block_bytes;
    const QuantizedBlock<int32_t, 1>* x = blocks + position * num_blocks;
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
#pragma GCC unroll 8
    for (int t = 0; t < T; t++) list.store_sums(sums[t], group, position + t);
  }
};

// One group of 16 rows times T positions. The weight is [column][16].
template <typename W>
struct FloatTiles {
  const ProductList& list;

  template <int T>
  void tile(const Product& product, int64_t group, int64_t position) const {
    const W* weight = reinterpret_cast<const W*>(product.weight) + group * list.columns * rows_per_group;
    const float* x[T];
#pragma GCC unroll 4
    for (int t = 0; t < T; t++) x[t] = list.rows.x_row(position + t);
    F32x16 sums[T][4];
#pragma GCC unroll 4
    for (int t = 0; t < T; t++) {
#pragma GCC unroll 4
      for (int j = 0; j < 4; j++) sums[t][j] = splat(0.0f);
    }
    int64_t k = 0;
    for (; k + 4 <= list.columns; k += 4, weight += 4 * rows_per_group) {
#pragma GCC unroll 4
      for (int j = 0; j < 4; j++) {
        const F32x16 w = load(weight + j * rows_per_group);
#pragma GCC unroll 4
        for (int t = 0; t < T; t++) sums[t][j] = fma(w, splat(x[t][k + j]), sums[t][j]);
      }
    }
#pragma GCC unroll 3
    for (int j = 0; j < 3; j++) {
      if (k + j >= list.columns) break;
      const F32x16 w = load(weight + j * rows_per_group);
#pragma GCC unroll 4
      for (int t = 0; t < T; t++) sums[t][j] = fma(w, splat(x[t][k + j]), sums[t][j]);
    }
#pragma GCC unroll 4
    for (int t = 0; t < T; t++) list.store_sums(add(add(sums[t][0], sums[t][1]), add(sums[t][2], sums[t][3])), group, position + t);
  }
};

template <typename Format>
inline void multiply_interleaved(const ProductList& list, std::byte* workspace, const Parallel& parallel) {
  QuantizedBlock<int32_t, 1>* blocks = reinterpret_cast<QuantizedBlock<int32_t, 1>*>(workspace);
  quantize_activations(blocks, list, Format::offset, parallel);
  for_each_tile<max_quantised_tile>(list, parallel, InterleavedTiles<Format>{list, blocks});
}

template <typename W>
inline void multiply_floats(const ProductList& list, const Parallel& parallel) {
  for_each_tile<max_float_tile>(list, parallel, FloatTiles<W>{list});
}

}  // namespace
}  // namespace thermocline::THERMOCLINE_ISA
