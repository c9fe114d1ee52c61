// Products with weights that are unpacked a panel at a time, once for up to 128 positions.
//
// Order of operations, the same for every tile, range and thread: the products of a sub-block of 16 or 32 columns are summed as integers,
// exactly; sub-blocks follow one another as sum = fma(float(integers), weight scale · activation scale, sum), each followed, where the
// format has minima, by sum = fma(minimum, activation scale · float(Σ activations), sum). No sum crosses lanes.
#pragma once
#include "panel.h"
#include "quantize.h"

namespace thermocline::THERMOCLINE_ISA {
namespace {

// What of a format shapes the loops; everything else is data.
template <int sub_block_columns, bool with_minima, bool with_signed_codes>
struct PanelKind {
  static constexpr int num_sums = quant_block_columns / sub_block_columns;
  static constexpr bool has_minima = with_minima;
  static constexpr bool is_signed = with_signed_codes;
  using Sum = std::conditional_t<with_minima, float, int32_t>;
  using Block = QuantizedBlock<Sum, num_sums>;
};

constexpr int64_t panel_positions = 128;

// 16 rows times T positions over the blocks of a panel. x: [block][T]; sums: [T][16].
template <typename Kind, int T>
inline void multiply_panel(const Panel& panel, const typename Kind::Block* x, int64_t num_blocks, float* sums) {
  constexpr int num_sums = Kind::num_sums;
  constexpr int chunks = 8 / num_sums;
  F32x16 totals[T];
#pragma GCC unroll 8
  for (int t = 0; t < T; t++) totals[t] = load(sums + t * rows_per_group);
  const std::byte* codes = reinterpret_cast<const std::byte*>(panel.codes);
  for (int64_t b = 0; b < num_blocks; b++, x += T) {
#pragma GCC unroll 2
    for (int s = 0; s < num_sums; s++) {
      I32x16 integers[T];
#pragma GCC unroll 8
      for (int t = 0; t < T; t++) {
        if constexpr (Kind::has_minima) integers[t] = splat_int(0);
        else integers[t] = splat_int(x[t].sums[s]);
      }
#pragma GCC unroll 8
      for (int c = 0; c < chunks; c++, codes += packed_chunk_bytes) {
        Bytes bytes = load_bytes(codes);
        if constexpr (Kind::is_signed) bytes = offset_bytes(bytes);
#pragma GCC unroll 8
        for (int t = 0; t < T; t++) {
          const int8_t* values = x[t].values + 4 * (s * chunks + c);
          if constexpr (Kind::is_signed) integers[t] = dot_bytes(integers[t], bytes, values);
          else integers[t] = dot_codes(integers[t], bytes, values);
        }
      }
      const F32x16 scales = load(panel.scales[b * num_sums + s]);
#pragma GCC unroll 8
      for (int t = 0; t < T; t++) totals[t] = fma(to_float(integers[t]), mul(scales, splat(x[t].scale)), totals[t]);
      if constexpr (Kind::has_minima) {
        const F32x16 minima = load(panel.minima[b * num_sums + s]);
#pragma GCC unroll 8
        for (int t = 0; t < T; t++) totals[t] = fma(minima, splat(x[t].sums[s]), totals[t]);
      }
    }
  }
#pragma GCC unroll 8
  for (int t = 0; t < T; t++) store(sums + t * rows_per_group, totals[t]);
}

// The panels of one group of rows, one after the other, times positions [first, last), at most `panel_positions` from the start of a tile.
template <typename Kind>
inline void multiply_group(const ProductList& list, UnpackPanel unpack, const std::byte* weight, const typename Kind::Block* blocks,
                           int64_t group, int64_t first, int64_t last) {
  Panel panel;
  alignas(64) float sums[panel_positions * rows_per_group];
  memset(sums, 0, sizeof(float) * static_cast<size_t>((last - first) * rows_per_group));
  const int64_t num_blocks = list.columns / quant_block_columns;
  for (int64_t column = 0; column < list.columns; column += panel_columns) {
    const int64_t columns = minimum(panel_columns, list.columns - column);
    unpack(panel, weight, columns);
    weight += packed_group_bytes(list.dtype, columns);
    for (int64_t position = first; position < last;) {
      const int64_t width = tile_width(last - position, max_quantised_tile);
      const typename Kind::Block* x = blocks + position * num_blocks + column / quant_block_columns * width;
      float* tile_sums = sums + (position - first) * rows_per_group;
      if (width == 1) multiply_panel<Kind, 1>(panel, x, columns / quant_block_columns, tile_sums);
      else if (width == 2) multiply_panel<Kind, 2>(panel, x, columns / quant_block_columns, tile_sums);
      else if (width == 4) multiply_panel<Kind, 4>(panel, x, columns / quant_block_columns, tile_sums);
      else if constexpr (max_quantised_tile >= 8) multiply_panel<Kind, 8>(panel, x, columns / quant_block_columns, tile_sums);
      position += width;
    }
  }
  for (int64_t position = first; position < last; position++)
    list.store_sums(load(sums + (position - first) * rows_per_group), group, position);
}

template <typename Kind>
void multiply_panels_of_kind(const ProductList& list, const PanelFormat& format, std::byte* workspace, const Parallel& parallel) {
  static_assert(panel_positions % max_quantised_tile == 0);
  typename Kind::Block* blocks = reinterpret_cast<typename Kind::Block*>(workspace);
  quantize_activations(blocks, list, Kind::is_signed ? byte_offset : format.zero_point, parallel);
  const int64_t group_bytes = list.group_bytes();
  for_each_range_of_groups(list, parallel, [&](const Product& product, int64_t first_group, int64_t last_group) {
    const int64_t end = product.first + product.count;
    for (int64_t first = product.first; first < end; first += panel_positions) {
      const int64_t last = minimum(end, first + panel_positions);
      for (int64_t group = first_group; group < last_group; group++)
        multiply_group<Kind>(list, format.unpack_panel, product.weight + group * group_bytes, blocks, group, first, last);
    }
  });
}

inline void multiply_panels(const ProductList& list, const PanelFormat& format, std::byte* workspace, const Parallel& parallel) {
  if (format.sub_block_columns == 16) {
    if (format.has_minima) multiply_panels_of_kind<PanelKind<16, true, false>>(list, format, workspace, parallel);
    else multiply_panels_of_kind<PanelKind<16, false, false>>(list, format, workspace, parallel);
  } else if (format.has_minima) {
    multiply_panels_of_kind<PanelKind<32, true, false>>(list, format, workspace, parallel);
  } else if (format.is_signed) {
    multiply_panels_of_kind<PanelKind<32, false, true>>(list, format, workspace, parallel);
  } else {
    multiply_panels_of_kind<PanelKind<32, false, false>>(list, format, workspace, parallel);
  }
}

}  // namespace
}  // namespace thermocline::THERMOCLINE_ISA
