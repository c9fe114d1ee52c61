// embed: rows of a table by token id, exactly the values of the storage format, times the op's scale where that is not 1. gather_rows: rows
// of activations by index.
#pragma once
#include "half.h"
#include "panel.h"

namespace thermocline::THERMOCLINE_ISA {
namespace {

// A byte at (row, block, byte of block) of either layout: rows lie one after the other, or 16 side by side, 4 bytes of each.
struct BlockReader {
  const std::byte* scale;
  const std::byte* quants;
  int64_t chunk_stride;  // from 4 bytes of the row to its next 4

  float scale_value() const {
    uint16_t half;
    memcpy(&half, scale, sizeof half);
    return half_to_float(half);
  }
};

inline void dequantise_q8_0(float* out, const BlockReader& block) {
  const float scale = block.scale_value();
  for (int i = 0; i < 32; i++) {
    const int8_t quant = static_cast<int8_t>(block.quants[i / 4 * block.chunk_stride + i % 4]);
    out[i] = static_cast<float>(quant) * scale;
  }
}

// Low nibbles are elements 0-15, high ones 16-31; 8 stands for 0.
inline void dequantise_q4_0(float* out, const BlockReader& block) {
  const float scale = block.scale_value();
  for (int i = 0; i < 16; i++) {
    const int byte = static_cast<int>(block.quants[i / 4 * block.chunk_stride + i % 4]);
    out[i] = static_cast<float>((byte & 15) - 8) * scale;
    out[i + 16] = static_cast<float>((byte >> 4) - 8) * scale;
  }
}

// q4_0 and q8_0.
inline void embed_chunks(float* out, const TensorView& table, int64_t row) {
  const bool is_q4 = table.dtype == DType::q4_0;
  const int64_t blocks = table.shape[1] / quant_block_columns;
  if (table.layout == Layout::packed) {
    const int64_t lane = row % rows_per_group;
    const int64_t block_bytes = is_q4 ? packed_q4_0_bytes : packed_q8_0_bytes;
    const std::byte* block = table.data + row / rows_per_group * blocks * block_bytes;
    for (int64_t b = 0; b < blocks; b++, block += block_bytes, out += quant_block_columns) {
      const BlockReader reader{block + 2 * lane, block + packed_scale_bytes + 4 * lane, packed_chunk_bytes};
      if (is_q4) dequantise_q4_0(out, reader);
      else dequantise_q8_0(out, reader);
    }
  } else {
    const int64_t block_bytes = storage_block(table.dtype).bytes;
    const std::byte* block = table.data + row * (table.row_stride / quant_block_columns) * block_bytes;
    for (int64_t b = 0; b < blocks; b++, block += block_bytes, out += quant_block_columns) {
      const BlockReader reader{block, block + 2, 4};
      if (is_q4) dequantise_q4_0(out, reader);
      else dequantise_q8_0(out, reader);
    }
  }
}

// Formats whose packed layout keeps the file's blocks, those of 16 rows side by side.
inline void embed_blocks(float* out, const PanelFormat& format, const TensorView& table, int64_t row) {
  const StorageBlock unit = storage_block(table.dtype);
  const int64_t blocks = table.shape[1] / unit.elements;
  const bool packed = table.layout == Layout::packed;
  const int64_t first = packed ? row / rows_per_group * rows_per_group * blocks + row % rows_per_group
                               : row * (table.row_stride / unit.elements);
  const int64_t step = packed ? rows_per_group : 1;
  for (int64_t b = 0; b < blocks; b++) format.dequantize_block(out + b * unit.elements, table.data + (first + b * step) * unit.bytes);
}

inline float float_value(float value) { return value; }
inline float float_value(uint16_t half) { return half_to_float(half); }
inline float float_value(BFloat16 value) { return float_of(static_cast<uint32_t>(value.bits) << 16); }

template <typename W>
inline void embed_floats(float* out, const TensorView& table, int64_t row) {
  const int64_t n = table.shape[1];
  const bool packed = table.layout == Layout::packed;
  const int64_t first = packed ? row / rows_per_group * rows_per_group * n + row % rows_per_group : row * table.row_stride;
  const W* values = reinterpret_cast<const W*>(table.data) + first;
  const int64_t step = packed ? rows_per_group : 1;
  for (int64_t i = 0; i < n; i++) out[i] = float_value(values[i * step]);
}

inline void scale_row(float* values, int64_t n, float scale) {
  for (int64_t i = 0; i < n; i += 16) {
    const int count = static_cast<int>(minimum(16, n - i));
    store_lanes(values + i, mul(load_lanes(values + i, count), splat(scale)), count);
  }
}

inline Status embed(const TensorView& out, const TensorView& table, const TensorView& token_ids, double scale, const Parallel& parallel) {
  const Status status = check_indices(token_ids, table.shape[0], "token id outside the embedding table");
  if (status.problem != nullptr) return status;
  const PanelFormat format = panel_format(table.dtype);
  if (packing_of(table.dtype) == Packing::none)
    return {"embedding table of a dtype that this backend does not read", static_cast<int64_t>(table.dtype), 0};
  parallel_for(parallel, out.shape[0], grain_of(elementwise_range, out.shape[1]), [&](int64_t first, int64_t last, int) {
    for (int64_t t = first; t < last; t++) {
      const int64_t row = *row_of<const int32_t>(token_ids, t);
      float* to = row_of<float>(out, t);
      switch (table.dtype) {
        case DType::f32: embed_floats<float>(to, table, row); break;
        case DType::f16: embed_floats<uint16_t>(to, table, row); break;
        case DType::bf16: embed_floats<BFloat16>(to, table, row); break;
        case DType::q4_0:
        case DType::q8_0: embed_chunks(to, table, row); break;
        default: embed_blocks(to, format, table, row);
      }
      if (scale != 1.0) scale_row(to, out.shape[1], static_cast<float>(scale));
    }
  });
  return {};
}

inline Status gather_rows(const TensorView& out, const TensorView& x, const TensorView& rows, const Parallel& parallel) {
  const Status status = check_indices(rows, x.shape[0], "row to gather outside the input");
  if (status.problem != nullptr) return status;
  const int64_t columns = x.shape[1];
  parallel_for(parallel, out.shape[0], grain_of(elementwise_range, columns), [&](int64_t first, int64_t last, int) {
    for (int64_t r = first; r < last; r++) {
      const int64_t row = *row_of<const int32_t>(rows, r);
      memcpy(row_of<float>(out, r), row_of<const float>(x, row), sizeof(float) * static_cast<size_t>(columns));
    }
  });
  return {};
}

}  // namespace
}  // namespace thermocline::THERMOCLINE_ISA
