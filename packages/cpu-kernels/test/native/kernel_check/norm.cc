// rms_norm, layer_norm.
#include "kernel_check.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace thermocline::kernel_check {

void check_norms() {
  for (const bool layer : {false, true}) {
    begin_op(layer ? "layer_norm" : "rms_norm");
    for (const int64_t n : {1, 15, 16, 63, 64, 65, 100, 777, 4096})
      for (const bool with_bias : {false, true}) {
        const int64_t tokens = 7;
        // A mean away from 0 is what makes one-pass variances fail.
        Tensor x = random_f32({tokens, n}, layer ? 9 : -3, layer ? 11 : 3, 2);
        Tensor weight = random_f32({n}), bias = random_f32({n});
        Tensor out = make(DType::f32, {tokens, n}, 1);
        const double eps = 1e-5;
        for_each_isa(
            out,
            [&](const KernelTable& table, const Parallel& parallel) {
              return layer ? table.layer_norm(out.view, x.view, weight.view, with_bias ? bias.view : absent, eps, parallel)
                           : table.rms_norm(out.view, x.view, weight.view, eps, parallel);
            },
            [&](const char* isa) {
              for (int64_t t = 0; t < tokens; t++) {
                double mean = 0, squares = 0, largest = 0;
                for (int64_t i = 0; i < n; i++) mean += layer ? x.at<float>(t, i) / static_cast<double>(n) : 0;
                for (int64_t i = 0; i < n; i++) {
                  squares += std::pow(x.at<float>(t, i) - mean, 2) / static_cast<double>(n);
                  largest = std::max(largest, std::fabs(static_cast<double>(x.at<float>(t, i))));
                }
                const double inverse = 1 / std::sqrt(squares + eps);
                // Additions one after the other in a sum, two roundings each without fma; the mean carries its error into every element.
                const double additions = 2 * (static_cast<double>(n) / 64 + 7);
                for (int64_t i = 0; i < n; i++) {
                  const double scaled = (x.at<float>(t, i) - mean) * inverse;
                  const double w = weight.as<float>()[i], b = layer && with_bias ? bias.as<float>()[i] : 0;
                  const double mean_error = layer ? half_ulp * additions * largest : 0;
                  const double variance_error = mean_error * mean_error * inverse * inverse;
                  const double bound = std::fabs(w) * (mean_error * inverse + std::fabs(scaled) * (half_ulp * (additions / 2 + 6) + variance_error)) +
                                       2 * half_ulp * std::fabs(b) + 1e-9;
                  check_near(out.at<float>(t, i), scaled * w + b, bound, isa, "norm", i);
                }
              }
            });
      }
    // Heads are normed each for itself, as rows of a matrix are.
    for (const int64_t n : {1, 33, 128}) {
      Tensor x = random_f32({5, 3, n}, -2, 3, 7), weight = random_f32({n}), bias = random_f32({n}), out = make(DType::f32, {5, 3, n}, 4);
      Tensor row = make(DType::f32, {1, n});
      for (const KernelTable* table : tables)
        for (const Parallel* parallel : {&serial, &threaded}) {
          const auto norm = [&](const TensorView& to, const TensorView& from) {
            return layer ? table->layer_norm(to, from, weight.view, bias.view, 1e-5, *parallel) : table->rms_norm(to, from, weight.view, 1e-5, *parallel);
          };
          check(norm(out.view, x.view).ok(), "%s: heads", table->isa);
          for (int64_t t = 0; t < 5; t++)
            for (int64_t h = 0; h < 3; h++) {
              TensorView head = row.view;
              head.data = reinterpret_cast<std::byte*>(&x.at<float>(t, h * n));
              norm(row.view, head);
              check(memcmp(row.bytes.data(), &out.at<float>(t, h * n), row.bytes.size()) == 0, "%s: head %d of token %d", table->isa, int(h), int(t));
            }
          for (int64_t t = 0; t < 4; t++)
            for (int64_t gap = 0; gap < 4; gap++) check(out.at<float>(t, 3 * n + gap) == 0, "%s wrote past a row of heads", table->isa);
        }
    }
    // In place.
    Tensor x = random_f32({3, 50}), weight = random_f32({50}), apart = make(DType::f32, {3, 50});
    for (const KernelTable* table : tables) {
      Tensor in_place = x;
      in_place.view.data = in_place.bytes.data();
      if (layer) {
        table->layer_norm(apart.view, x.view, weight.view, absent, 1e-6, serial);
        table->layer_norm(in_place.view, in_place.view, weight.view, absent, 1e-6, serial);
      } else {
        table->rms_norm(apart.view, x.view, weight.view, 1e-6, serial);
        table->rms_norm(in_place.view, in_place.view, weight.view, 1e-6, serial);
      }
      check(same_bits(apart.bytes, in_place.bytes, DType::f32), "%s: in place differs", table->isa);
    }
    end_op();
  }
}

}  // namespace thermocline::kernel_check
