// rms_norm and layer_norm over the last axis of [T, N] or [T, heads, N]. Sums are f32 in the order of sum_of_row; the square root is taken in f64.
#pragma once
#include "vector_math.h"

namespace thermocline::THERMOCLINE_ISA {
namespace {

inline void rms_norm_row(float* out, const float* x, const float* weight, int64_t n, double eps) {
  const float sum = sum_of_row(n, [x](F32x16 lanes, int64_t i, int count) {
    const F32x16 value = load_lanes(x + i, count);
    return fma(value, value, lanes);
  });
  const F32x16 inverse = splat(static_cast<float>(1.0 / __builtin_sqrt(static_cast<double>(sum) / static_cast<double>(n) + eps)));
  for (int64_t i = 0; i < n; i += 16) {
    const int count = static_cast<int>(minimum(16, n - i));
    store_lanes(out + i, mul(mul(load_lanes(x + i, count), inverse), load_lanes(weight + i, count)), count);
  }
}

inline void layer_norm_row(float* out, const float* x, const float* weight, const float* bias, int64_t n, double eps) {
  const float sum = sum_of_row(n, [x](F32x16 lanes, int64_t i, int count) { return add(lanes, load_lanes(x + i, count)); });
  const F32x16 mean = splat(static_cast<float>(static_cast<double>(sum) / static_cast<double>(n)));
  const float squares = sum_of_row(n, [x, mean](F32x16 lanes, int64_t i, int count) {
    // Lanes past the row's end must add 0, not mean².
    const F32x16 centre = count == 16 ? mean : [&] {
      float means[16] = {};
      store(means, mean, count);
      return load(means);
    }();
    const F32x16 difference = sub(load_lanes(x + i, count), centre);
    return fma(difference, difference, lanes);
  });
  const double variance = static_cast<double>(squares) / static_cast<double>(n);
  const F32x16 inverse = splat(static_cast<float>(1.0 / __builtin_sqrt(variance + eps)));
  for (int64_t i = 0; i < n; i += 16) {
    const int count = static_cast<int>(minimum(16, n - i));
    const F32x16 scaled = mul(sub(load_lanes(x + i, count), mean), inverse);
    const F32x16 shift = bias != nullptr ? load_lanes(bias + i, count) : splat(0.0f);
    store_lanes(out + i, fma(scaled, load_lanes(weight + i, count), shift), count);
  }
}

// norm(out, x, n) for each vector along the last axis. The vectors of a row lie side by side; rows may lie apart.
template <typename Norm>
inline void for_each_vector(const TensorView& out, const TensorView& x, const Parallel& parallel, const Norm& norm) {
  const int64_t vectors = x.rank == 3 ? x.shape[1] : 1;
  const int64_t n = x.rank == 3 ? x.shape[2] : x.shape[1];
  parallel_for(parallel, x.shape[0] * vectors, grain_of(elementwise_range, n), [&](int64_t first, int64_t last, int) {
    for (int64_t item = first; item < last; item++) {
      const int64_t row = item / vectors;
      const int64_t column = item % vectors * n;
      norm(row_of<float>(out, row) + column, row_of<const float>(x, row) + column, n);
    }
  });
}

inline Status rms_norm(const TensorView& out, const TensorView& x, const TensorView& weight, double eps, const Parallel& parallel) {
  const float* scale = reinterpret_cast<const float*>(weight.data);
  for_each_vector(out, x, parallel, [&](float* to, const float* from, int64_t n) { rms_norm_row(to, from, scale, n, eps); });
  return {};
}

inline Status layer_norm(const TensorView& out, const TensorView& x, const TensorView& weight, const TensorView& bias, double eps,
                         const Parallel& parallel) {
  const float* scale = reinterpret_cast<const float*>(weight.data);
  const float* shift = reinterpret_cast<const float*>(bias.data);
  for_each_vector(out, x, parallel, [&](float* to, const float* from, int64_t n) { layer_norm_row(to, from, scale, shift, n, eps); });
  return {};
}

}  // namespace
}  // namespace thermocline::THERMOCLINE_ISA
