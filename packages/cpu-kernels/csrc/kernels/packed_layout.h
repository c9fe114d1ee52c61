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
