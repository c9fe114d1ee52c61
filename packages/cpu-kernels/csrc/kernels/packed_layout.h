// The packed weight layout, shared by packing and by every kernel that reads it. See README.md.
#pragma once
#include <cstddef>
#include <cstdint>

#include "thermocline/kernel_table.h"

namespace thermocline {

// Columns of one quantisation block of q4_0 and q8_0.
static constexpr int64_t quant_block_columns = 32;
// 16 f16 scales lead each packed block of 16 rows.
static constexpr int64_t packed_scale_bytes = 2 * rows_per_group;
// 4 bytes of each of 16 rows: what one integer dot instruction takes.
static constexpr int64_t packed_chunk_bytes = 4 * rows_per_group;
static constexpr int64_t packed_q4_0_bytes = packed_scale_bytes + 4 * packed_chunk_bytes;
static constexpr int64_t packed_q8_0_bytes = packed_scale_bytes + 8 * packed_chunk_bytes;

static_assert(storage_block(DType::q4_0).elements == quant_block_columns && storage_block(DType::q8_0).elements == quant_block_columns);

// How the 16 rows of a group lie in the packed layout.
enum class Packing {
  none,         // the dtype is never packed
  elements,     // for each column the element of each row
  chunks,       // for each block the scales, then 4 bytes of each row at a time
  whole_blocks  // for each block column the file's block of each row
};

static constexpr Packing packing_of(DType dtype) {
  switch (dtype) {
    case DType::f32:
    case DType::f16:
    case DType::bf16: return Packing::elements;
    case DType::q4_0:
    case DType::q8_0: return Packing::chunks;
    case DType::f64:
    case DType::i8:
    case DType::i16:
    case DType::i32:
    case DType::i64: return Packing::none;
    default: return storage_block(dtype).elements > 0 ? Packing::whole_blocks : Packing::none;
  }
}

// Bytes of a group of 16 rows in the packed layout, which has no gaps; 0 for a dtype that is never packed.
static constexpr int64_t packed_group_bytes(DType dtype, int64_t columns) {
  if (packing_of(dtype) == Packing::none) return 0;
  const StorageBlock block = storage_block(dtype);
  return columns / block.elements * block.bytes * rows_per_group;
}
static_assert(packed_group_bytes(DType::q4_0, 32) == packed_q4_0_bytes && packed_group_bytes(DType::q8_0, 32) == packed_q8_0_bytes);

// Columns that share a scale, where a product treats the two halves of a block of 32 activations apart; 32 for all others.
static constexpr int64_t sub_block_columns(DType dtype) {
  switch (dtype) {
    case DType::q2_k:
    case DType::q3_k:
    case DType::q6_k:
    case DType::iq1_m:
    case DType::iq2_xs:
    case DType::iq2_s:
    case DType::nvfp4: return 16;
    default: return quant_block_columns;
  }
}

// A block of 32 quantised activations: the values, a float scale, 4 bytes for each sub-block of the weight.
static constexpr int64_t quantized_block_bytes(int64_t sub_block_columns) {
  return quant_block_columns + 4 + quant_block_columns / sub_block_columns * 4;
}

}  // namespace thermocline
