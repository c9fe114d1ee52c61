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

// Storage of one block of a dtype as files store it; {1, 0} for a type that no kernel here reads.
struct BlockSize {
  int64_t columns;
  int64_t bytes;
};

static constexpr BlockSize block_size_of(DType dtype) {
  switch (dtype) {
    case DType::f64:
    case DType::i64: return {1, 8};
    case DType::f32:
    case DType::i32: return {1, 4};
    case DType::f16:
    case DType::bf16:
    case DType::i16: return {1, 2};
    case DType::i8: return {1, 1};
    case DType::q4_0: return {quant_block_columns, 18};
    case DType::q8_0: return {quant_block_columns, 34};
    default: return {1, 0};
  }
}

// Bytes of a group of 16 rows in the packed layout; 0 for a dtype that is never packed.
static constexpr int64_t packed_group_bytes(DType dtype, int64_t columns) {
  switch (dtype) {
    case DType::f32: return columns * 4 * rows_per_group;
    case DType::f16: return columns * 2 * rows_per_group;
    case DType::q4_0: return columns / quant_block_columns * packed_q4_0_bytes;
    case DType::q8_0: return columns / quant_block_columns * packed_q8_0_bytes;
    default: return 0;
  }
}

}  // namespace thermocline
