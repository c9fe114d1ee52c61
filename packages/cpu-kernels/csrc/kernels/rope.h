// rope: rotates pairs of each head of q [T, numHeads, headDim] and k [T, numKvHeads, headDim] in place. The angle of pair i at position p
// is p · theta^(-2i / dims) / frequency_factors[i]; cosine and sine are multiplied by `magnitude`. Angle, cosine and sine are f64, so a
// position of 10^6 costs no accuracy.
#pragma once
#include <math.h>

#include "operands.h"

namespace thermocline::THERMOCLINE_ISA {
namespace {

// Pairs whose frequencies fit on the stack at once.
constexpr int64_t rope_pairs_at_once = 128;

struct PairLayout {
  int64_t pair_stride;    // elements from pair i to pair i + 1
  int64_t second_offset;  // elements from a pair's first element to its second
};

inline void rotate_heads(const TensorView& x, int64_t token, PairLayout layout, int64_t first_pair, int64_t num_pairs,
                         const float* cosines, const float* sines) {
  for (int64_t head = 0; head < x.shape[1]; head++) {
    float* pair = row_of<float>(x, token) + head * x.shape[2] + first_pair * layout.pair_stride;
    for (int64_t i = 0; i < num_pairs; i++, pair += layout.pair_stride) {
      const float a = pair[0];
      const float b = pair[layout.second_offset];
      pair[0] = a * cosines[i] - b * sines[i];
      pair[layout.second_offset] = a * sines[i] + b * cosines[i];
    }
  }
}

inline Status rope(const TensorView& q, const TensorView& k, const TensorView& positions, const TensorView& frequency_factors, double theta,
                   double magnitude, uint32_t dims, RopeMode mode, const Parallel& parallel) {
  const int64_t num_pairs = dims / 2;
  const PairLayout layout = mode == RopeMode::neox ? PairLayout{1, num_pairs} : PairLayout{2, 1};
  const float* factors = reinterpret_cast<const float*>(frequency_factors.data);
  for (int64_t base = 0; base < num_pairs; base += rope_pairs_at_once) {
    const int64_t count = minimum(rope_pairs_at_once, num_pairs - base);
    double frequencies[rope_pairs_at_once];
    for (int64_t i = 0; i < count; i++) {
      frequencies[i] = ::pow(theta, -2.0 * static_cast<double>(base + i) / static_cast<double>(dims));
      if (factors != nullptr) frequencies[i] /= static_cast<double>(factors[base + i]);
    }
    // A cosine and a sine cost about as much as rotating 64 elements.
    parallel_for(parallel, q.shape[0], grain_of(elementwise_range, 64 * count), [&](int64_t first, int64_t last, int) {
      float cosines[rope_pairs_at_once];
      float sines[rope_pairs_at_once];
      for (int64_t t = first; t < last; t++) {
        const double position = *row_of<const int32_t>(positions, t);
        for (int64_t i = 0; i < count; i++) {
          cosines[i] = static_cast<float>(magnitude * ::cos(position * frequencies[i]));
          sines[i] = static_cast<float>(magnitude * ::sin(position * frequencies[i]));
        }
        rotate_heads(q, t, layout, base, count, cosines, sines);
        rotate_heads(k, t, layout, base, count, cosines, sines);
      }
    });
  }
  return {};
}

}  // namespace
}  // namespace thermocline::THERMOCLINE_ISA
