// Activations as int8, once per matmul: each block of 32 values becomes round(x / scale) with scale = max|x| / 127.
//
// Layout: tokens lie in tiles, the tiles that matmul.h takes together; within a tile [block][token], so that one pass over a weight
// reads one ascending stream.
#pragma once
#include "vector_math.h"

namespace thermocline::THERMOCLINE_ISA {
namespace {

struct QuantizedBlock {
  int8_t values[quant_block_columns];
  float scale;
  // -offset · Σ values: takes back the offset by which a weight format's stored integers exceed their values.
  int32_t correction;
};
static_assert(sizeof(QuantizedBlock) == 40);

// Tokens of the tile that starts with `remaining` tokens to go: the widest power of two.
inline int64_t tile_width(int64_t remaining, int64_t widest) {
  while (widest > remaining) widest /= 2;
  return widest;
}

// A block of zeros where max|x| is below 127 / FLT_MAX = 3.7e-37, whose inverse scale is no number. A block with NaN or infinity in it gets
// scale NaN, which makes every output that it takes part in NaN.
inline void quantize_block(QuantizedBlock& block, const float* x, int32_t offset) {
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
    memset(block.values, 0, sizeof block.values);
    block.scale = finite ? 0.0f : __builtin_nanf("");
    block.correction = 0;
    return;
  }
  const I32x16 low_values = round_to_int(mul(low, splat(inverse)));
  const I32x16 high_values = round_to_int(mul(high, splat(inverse)));
  store_int8(block.values, low_values);
  store_int8(block.values + 16, high_values);
  block.scale = largest / 127.0f;
  block.correction = -offset * reduce_add(add(low_values, high_values));
}

// x [T, K] into `blocks`; K is a multiple of 32.
inline void quantize_activations(QuantizedBlock* blocks, const TensorView& x, int32_t offset, int64_t widest_tile, const Parallel& parallel) {
  const int64_t num_tokens = x.shape[0];
  const int64_t num_blocks = x.shape[1] / quant_block_columns;
  const int64_t full = num_tokens / widest_tile * widest_tile;
  parallel_for(parallel, num_tokens, grain_of(2 * elementwise_range, x.shape[1]), [&](int64_t first, int64_t last, int) {
    for (int64_t t = first; t < last; t++) {
      int64_t tile = t < full ? t / widest_tile * widest_tile : full;
      int64_t width = tile_width(num_tokens - tile, widest_tile);
      while (t >= tile + width) {
        tile += width;
        width = tile_width(num_tokens - tile, widest_tile);
      }
      const float* row = row_of<const float>(x, t);
      QuantizedBlock* block = blocks + tile * num_blocks + (t - tile);
      for (int64_t b = 0; b < num_blocks; b++) quantize_block(block[b * width], row + b * quant_block_columns, offset);
    }
  });
}

}  // namespace
}  // namespace thermocline::THERMOCLINE_ISA
