// rope: both pairings, part of a head, frequency factors, magnitude.
#include "kernel_check.h"

#include <cmath>
#include <cstring>

namespace thermocline::kernel_check {

void check_rope() {
  begin_op("rope");
  for (const RopeMode mode : {RopeMode::normal, RopeMode::neox})
    for (const int64_t head_dim : {2, 48, 80, 320})
      for (const bool with_factors : {false, true}) {
        const int64_t tokens = 5, heads = 3, kv_heads = 1;
        const uint32_t dims = static_cast<uint32_t>(head_dim == 80 ? 20 : head_dim);
        const double theta = 10000, magnitude = with_factors ? 1.25 : 1;
        Tensor q = random_f32({tokens, heads, head_dim}, -1, 1, 7), k = random_f32({tokens, kv_heads, head_dim});
        Tensor positions = from_ints({tokens}, {0, 1, 77, 4095, 1000000});
        Tensor factors = random_f32({dims / 2}, 1, 8);
        const Tensor q_before = q, k_before = k;
        const auto verify = [&](const char* isa, Tensor& x, const Tensor& before, int64_t num_heads, const char* what) {
          for (int64_t t = 0; t < tokens; t++)
            for (int64_t h = 0; h < num_heads; h++)
              for (int64_t i = 0; i < head_dim; i++) {
                const float* source = reinterpret_cast<const float*>(before.bytes.data()) + t * x.view.row_stride + h * head_dim;
                const float actual = x.at<float>(t, h * head_dim + i);
                if (i >= dims) {
                  check(actual == source[i], "%s: element %d past dims changed", isa, int(i));
                  continue;
                }
                const int64_t half = dims / 2;
                const int64_t pair = mode == RopeMode::neox ? i % half : i / 2;
                const bool second = mode == RopeMode::neox ? i >= half : i % 2 == 1;
                const double a = source[mode == RopeMode::neox ? pair : 2 * pair], b = source[mode == RopeMode::neox ? pair + half : 2 * pair + 1];
                const double angle = positions.as<int32_t>()[t] * std::pow(theta, -2.0 * static_cast<double>(pair) / dims) / (with_factors ? factors.as<float>()[pair] : 1.0);
                const double expected = magnitude * (second ? a * std::sin(angle) + b * std::cos(angle) : a * std::cos(angle) - b * std::sin(angle));
                // Cosine, sine, two products and a sum are rounded: at most 3 half ulps a term. 1e-9: the angle at position 10^6.
                check_near(actual, expected, magnitude * (3 * half_ulp * (std::fabs(a) + std::fabs(b)) + 1e-9), isa, what, i);
              }
        };
        Tensor& out = q;
        for_each_isa(
            out,
            [&](const KernelTable& table, const Parallel& parallel) {
              memcpy(k.bytes.data(), k_before.bytes.data(), k.bytes.size());
              return table.rope(q.view, k.view, positions.view, with_factors ? factors.view : absent, theta, magnitude, dims, mode, parallel);
            },
            [&](const char* isa) {
              verify(isa, q, q_before, heads, "q");
              verify(isa, k, k_before, kv_heads, "k");
            });
      }
  end_op();
}

}  // namespace thermocline::kernel_check
