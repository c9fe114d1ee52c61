// A panel: 16 rows and up to 256 columns of a weight whose packed layout keeps the file's blocks, unpacked to what the dot instruction
// takes.
#pragma once
#include "formats/blocks_of_32.h"
#include "formats/codebook_blocks.h"
#include "formats/k_quants.h"
#include "formats/ternary.h"
#include "formats/value_tables.h"
#include "vector_math.h"

namespace thermocline::THERMOCLINE_ISA {
namespace {

constexpr int64_t panel_columns = 256;
constexpr int max_sub_blocks = panel_columns / 16;

struct alignas(64) Panel {
  // Chunk c holds the codes of columns 4c … 4c + 3 of each row.
  uint8_t codes[panel_columns * rows_per_group];
  // Of each sub-block, 16 rows side by side.
  float scales[max_sub_blocks][rows_per_group];
  float minima[max_sub_blocks][rows_per_group];
};

// Unpacks `columns` columns, whole blocks, from `blocks`: [block][row].
using UnpackPanel = void (*)(Panel& panel, const std::byte* blocks, int64_t columns);

template <typename Format>
void unpack_panel(Panel& panel, const std::byte* blocks, int64_t columns) {
  constexpr int sub_blocks = Format::columns / Format::sub_block_columns;
  constexpr int64_t block_bytes = storage_block(Format::dtype).bytes;
  static_assert(storage_block(Format::dtype).elements == Format::columns && panel_columns % Format::columns == 0);
  alignas(64) uint8_t rows[rows_per_group * panel_columns];
  const uint8_t* bytes = reinterpret_cast<const uint8_t*>(blocks);
  const int num_blocks = static_cast<int>(columns / Format::columns);
  for (int block = 0; block < num_blocks; block++) {
    for (int row = 0; row < rows_per_group; row++, bytes += block_bytes) {
      float scales[sub_blocks];
      float minima[sub_blocks];
      Format::unpack(bytes, rows + row * panel_columns + block * Format::columns, scales, minima);
      for (int s = 0; s < sub_blocks; s++) {
        panel.scales[block * sub_blocks + s][row] = scales[s];
        if constexpr (Format::has_minima) panel.minima[block * sub_blocks + s][row] = minima[s];
      }
    }
  }
  // The last 32 columns of an odd number of them are interleaved with what lies beside them, and not used.
  if (columns % 64 != 0) {
    for (int row = 0; row < rows_per_group; row++) memset(rows + row * panel_columns + columns, 0, 32);
  }
  for (int64_t column = 0; column < columns; column += 64)
    interleave_rows(panel.codes + column * rows_per_group, rows + column, panel_columns);
}

// The values of one block of a row: the order of operations of format.h.
template <typename Format>
void dequantize_block(float* out, const std::byte* block) {
  uint8_t codes[Format::columns];
  float scales[Format::columns / Format::sub_block_columns];
  float minima[Format::columns / Format::sub_block_columns];
  Format::unpack(reinterpret_cast<const uint8_t*>(block), codes, scales, minima);
  for (int i = 0; i < Format::columns; i++) {
    const int32_t value = Format::is_signed ? static_cast<int8_t>(codes[i]) : codes[i] - Format::zero_point;
    out[i] = scales[i / Format::sub_block_columns] * static_cast<float>(value);
    if constexpr (Format::has_minima) out[i] += minima[i / Format::sub_block_columns];
  }
}

// A format as data: what products and the embedding need of it.
struct PanelFormat {
  UnpackPanel unpack_panel;
  void (*dequantize_block)(float* out, const std::byte* block);
  int32_t sub_block_columns;
  bool has_minima;
  bool is_signed;
  int32_t zero_point;
};

template <typename Format>
constexpr PanelFormat describe() {
  static_assert(packing_of(Format::dtype) == Packing::whole_blocks && sub_block_columns(Format::dtype) == Format::sub_block_columns);
  return {unpack_panel<Format>, dequantize_block<Format>, Format::sub_block_columns,
          Format::has_minima,   Format::is_signed,        Format::zero_point};
}

// nullptr as `unpack_panel`: the dtype is not unpacked in panels.
inline PanelFormat panel_format(DType dtype) {
  switch (dtype) {
    case DType::q4_1: return describe<Q4_1>();
    case DType::q5_0: return describe<Q5_0>();
    case DType::q5_1: return describe<Q5_1>();
    case DType::q8_1: return describe<Q8_1>();
    case DType::q2_k: return describe<Q2_K>();
    case DType::q3_k: return describe<Q3_K>();
    case DType::q4_k: return describe<Q4_K>();
    case DType::q5_k: return describe<Q5_K>();
    case DType::q6_k: return describe<Q6_K>();
    case DType::q8_k: return describe<Q8_K>();
    case DType::iq1_s: return describe<IQ1_S>();
    case DType::iq1_m: return describe<IQ1_M>();
    case DType::iq2_xxs: return describe<IQ2_XXS>();
    case DType::iq2_xs: return describe<IQ2_XS>();
    case DType::iq2_s: return describe<IQ2_S>();
    case DType::iq3_xxs: return describe<IQ3_XXS>();
    case DType::iq3_s: return describe<IQ3_S>();
    case DType::iq4_nl: return describe<IQ4_NL>();
    case DType::iq4_xs: return describe<IQ4_XS>();
    case DType::tq1_0: return describe<TQ1_0>();
    case DType::tq2_0: return describe<TQ2_0>();
    case DType::mxfp4: return describe<MXFP4>();
    case DType::nvfp4: return describe<NVFP4>();
    default: return {};
  }
}

}  // namespace
}  // namespace thermocline::THERMOCLINE_ISA
