// Activations as int8, once per matmul: each block of 32 values becomes round(x / scale) with scale = max|x| / 127.
//
// Layout: positions lie in tiles, the tiles that a product takes together; within a tile [block][position], so that one pass over a weight
// reads one ascending stream.
#pragma once
#include "products.h"

namespace thermocline::THERMOCLINE_ISA {
namespace {

// With what a weight format needs beside the products, for the block or for each half of it:
// - int32_t: -offset · Σ values, which takes back the offset by which the format's codes exceed their values;
// - float: scale · Σ values, what a minimum of the weight is multiplied with.
template <typename Sum, int num_sums>
struct QuantizedBlock {
  int8_t values[quant_block_columns];
  float scale;
  Sum sums[num_sums];
};
static_assert(sizeof(QuantizedBlock<int32_t, 1>) == quantized_block_bytes(32));
static_assert(sizeof(QuantizedBlock<float, 2>) == quantized_block_bytes(16));

THERMOCLINE_INLINE void set_sum(int32_t& sum, int32_t total, int32_t offset, float) { sum = -offset * total; }
THERMOCLINE_INLINE void set_sum(float& sum, int32_t total, int32_t, float scale) { sum = scale * static_cast<float>(total); }

// A block of zeros where max|x| is below 127 / FLT_MAX = 3.7e-37, whose inverse scale is no number. A block with NaN or infinity in it gets
// scale NaN, which makes every output that it takes part in NaN.
template <typename Sum, int num_sums>
inline void quantize_block(QuantizedBlock<Sum, num_sums>& block, const float* x, int32_t offset) {
  const F32x16 low = load(x);
  const F32x16 high = load(x + 16);
  const I32x16 magnitude_bits = splat_int(INT32_MAX);
  // Bit patterns of magnitudes order as the floats do, with infinity and NaN above all numbers.
  const int32_t largest_bits = reduce_max(max(bit_and(as_int(low), magnitude_bits), bit_and(as_int(high), magnitude_bits)));
  float largest;
  memcpy(&largest, &largest_bits, sizeof largest);
  const float inverse = 127.0f / largest;
  const bool finite = largest_bits < 0x7f800000;
  if (!finite || inverse == __builtin_inff()) {
    memset(&block, 0, sizeof block);
    block.scale = finite ? 0.0f : __builtin_nanf("");
    return;
  }
  const I32x16 low_values = round_to_int(mul(low, splat(inverse)));
  const I32x16 high_values = round_to_int(mul(high, splat(inverse)));
  store_int8(block.values, low_values);
  store_int8(block.values + 16, high_values);
  block.scale = largest / 127.0f;
  if constexpr (num_sums == 1) {
    set_sum(block.sums[0], reduce_add(add(low_values, high_values)), offset, block.scale);
  } else {
    set_sum(block.sums[0], reduce_add(low_values), offset, block.scale);
    set_sum(block.sums[1], reduce_add(high_values), offset, block.scale);
  }
}

// The activations of every position into `blocks`; columns are a multiple of 32.
template <typename Block>
inline void quantize_activations(Block* blocks, const ProductList& list, int32_t offset, const Parallel& parallel) {
  const int64_t num_blocks = list.columns / quant_block_columns;
  parallel_for(parallel, list.num_positions(), grain_of(2 * elementwise_range, list.columns), [&](int64_t first, int64_t last, int) {
    const Product* product = list.products;
    while (first >= product->first + product->count) product++;
    int64_t tile = product->first;
    for (int64_t position = first; position < last; position++) {
      if (position >= product->first + product->count) {
        product++;
        tile = product->first;
      }
      const int64_t end = product->first + product->count;
      int64_t width = tile_width(end - tile, max_quantised_tile);
      while (position >= tile + width) {
        tile += width;
        width = tile_width(end - tile, max_quantised_tile);
      }
      const float* row = list.rows.x_row(position);
      Block* block = blocks + tile * num_blocks + (position - tile);
      for (int64_t b = 0; b < num_blocks; b++) quantize_block(block[b * width], row + b * quant_block_columns, offset);
    }
  });
}

}  // namespace
}  // namespace thermocline::THERMOCLINE_ISA
