// Packing of weights: file rows in, groups of 16 rows out, in the layout that README.md describes. Independent of the instruction set.
#include <cstring>

#include "packed_layout.h"

namespace thermocline {
namespace {

// One column of `width` bytes a row, elements or blocks of the 16 rows side by side.
void pack_column(const std::byte* rows, size_t row_bytes, int64_t num_rows, int64_t column, int64_t width, std::byte* out) {
  for (int64_t lane = 0; lane < num_rows; lane++) memcpy(out + lane * width, rows + lane * row_bytes + column * width, width);
}

// One block: the f16 scale and the block's quants, 4 bytes of every row at a time.
void pack_block(const std::byte* rows, size_t row_bytes, int64_t num_rows, int64_t block, int64_t block_bytes, std::byte* out) {
  for (int64_t lane = 0; lane < num_rows; lane++) {
    const std::byte* source = rows + lane * row_bytes + block * block_bytes;
    memcpy(out + 2 * lane, source, 2);
    const int64_t num_chunks = (block_bytes - 2) / 4;
    for (int64_t chunk = 0; chunk < num_chunks; chunk++)
      memcpy(out + packed_scale_bytes + chunk * packed_chunk_bytes + 4 * lane, source + 2 + 4 * chunk, 4);
  }
}

}  // namespace

bool can_pack(DType dtype) { return packing_of(dtype) != Packing::none; }

size_t packed_byte_length(DType dtype, int64_t rows, int64_t columns) {
  const int64_t groups = (rows + rows_per_group - 1) / rows_per_group;
  return static_cast<size_t>(groups * packed_group_bytes(dtype, columns));
}

void pack_rows(const PackSource& source, const int64_t* column_ranges, int64_t num_column_ranges, int64_t first_row, int64_t num_rows,
               std::byte* packed) {
  const StorageBlock unit = storage_block(source.dtype);
  const bool in_chunks = packing_of(source.dtype) == Packing::chunks;
  const int64_t unit_bytes = packed_group_bytes(source.dtype, unit.elements);
  int64_t columns = 0;
  for (int64_t range = 0; range < num_column_ranges; range++) columns += column_ranges[2 * range + 1];

  std::byte* out = packed + first_row / rows_per_group * packed_group_bytes(source.dtype, columns);
  for (int64_t row = 0; row < num_rows; row += rows_per_group) {
    const std::byte* rows = source.bytes + row * source.row_bytes;
    const int64_t lanes = num_rows - row < rows_per_group ? num_rows - row : rows_per_group;
    if (lanes < rows_per_group) memset(out, 0, packed_group_bytes(source.dtype, columns));
    for (int64_t range = 0; range < num_column_ranges; range++) {
      const int64_t first = column_ranges[2 * range] / unit.elements;
      const int64_t count = column_ranges[2 * range + 1] / unit.elements;
      for (int64_t index = first; index < first + count; index++, out += unit_bytes) {
        if (in_chunks) pack_block(rows, source.row_bytes, lanes, index, unit.bytes, out);
        else pack_column(rows, source.row_bytes, lanes, index, unit.bytes, out);
      }
    }
  }
}

}  // namespace thermocline
