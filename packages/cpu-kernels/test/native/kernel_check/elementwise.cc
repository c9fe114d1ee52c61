// activate, add, softcap.
#include "kernel_check.h"

#include <cmath>
#include <cstring>

namespace thermocline::kernel_check {

void check_elementwise() {
  const int64_t rows = 3;
  const auto exact = [](Activation activation, double x) {
    if (activation == Activation::relu) return x > 0 ? x : 0;
    if (activation == Activation::silu) return x / (1 + std::exp(-x));
    return x / (1 + std::exp(-2 * std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
  };
  begin_op("activate");
  for (const Activation activation : {Activation::silu, Activation::gelu, Activation::relu})
    for (const int64_t n : {1, 16, 31, 5000})
      for (const bool with_up : {false, true}) {
        Tensor gate = random_f32({rows, n}, -12, 12, 3), up = random_f32({rows, n}, -2, 2, 1), out = make(DType::f32, {rows, n}, 2);
        for (int64_t i = 0; i < n; i++) gate.at<float>(1, i) = std::ldexp(uniform(-1, 1), uniform_int(-40, 7));
        for_each_isa(
            out, [&](const KernelTable& table, const Parallel& parallel) { return table.activate(out.view, gate.view, with_up ? up.view : absent, activation, parallel); },
            [&](const char* isa) {
              for (int64_t r = 0; r < rows; r++)
                for (int64_t i = 0; i < n; i++) {
                  const double x = gate.at<float>(r, i), factor = with_up ? up.at<float>(r, i) : 1;
                  const double expected = exact(activation, x) * factor;
                  // e^-u with relative error 4 half ulps, then a sum, a quotient and a product. For gelu u itself carries 7 roundings
                  // (square, cube, two constants, two products, a sum), which move e^-u by 7 |u| where e^-u matters.
                  const double u = 1.6 * (x + 0.044715 * x * x * x);
                  const double relative = activation == Activation::relu ? half_ulp : half_ulp * (9 + (activation == Activation::gelu ? 7 * (u < 0 ? -u : 1) : 0));
                  // Below 2^-126 e^-u's inverse leaves the normal numbers.
                  check_near(out.at<float>(r, i), expected, relative * std::fabs(expected) + 1e-35 * std::fabs(factor), isa, "activate", i);
                }
            });
      }
  Tensor special = make(DType::f32, {1, 5}), special_out = make(DType::f32, {1, 5});
  const float values[5] = {not_a_number, infinity, -200, 200, 0};
  memcpy(special.bytes.data(), values, sizeof values);
  for (const Activation activation : {Activation::silu, Activation::gelu, Activation::relu})
    for_each_isa(special_out, [&](const KernelTable& table, const Parallel& parallel) { return table.activate(special_out.view, special.view, absent, activation, parallel); },
                 [&](const char* isa) {
                   const float* y = special_out.as<float>();
                   check(std::isnan(y[0]) && y[1] == infinity && y[2] == 0 && y[3] == 200 && y[4] == 0, "%s: %g %g %g %g %g", isa, y[0], y[1], y[2], y[3], y[4]);
                 });
  end_op();

  begin_op("add");
  for (const int64_t n : {1, 17, 4097}) {
    Tensor a = random_f32({rows, n}, -1, 1, 3), b = random_f32({rows, n}), out = make(DType::f32, {rows, n}, 1);
    for_each_isa(out, [&](const KernelTable& table, const Parallel& parallel) { return table.add(out.view, a.view, b.view, parallel); },
                 [&](const char* isa) {
                   for (int64_t r = 0; r < rows; r++)
                     for (int64_t i = 0; i < n; i++) check(out.at<float>(r, i) == a.at<float>(r, i) + b.at<float>(r, i), "%s [%d, %d]", isa, int(r), int(i));
                 });
  }
  end_op();

  begin_op("softcap");
  for (const double cap : {1.0, 30.0, 50.0}) {
    Tensor x = random_f32({rows, 3000}, -200, 200, 1), out = make(DType::f32, {rows, 3000});
    for (int64_t i = 0; i < 3000; i++) x.at<float>(1, i) = std::ldexp(uniform(-1, 1), uniform_int(-60, 5));
    x.at<float>(2, 0) = infinity;
    x.at<float>(2, 1) = -infinity;
    x.at<float>(2, 2) = not_a_number;
    for_each_isa(out, [&](const KernelTable& table, const Parallel& parallel) { return table.softcap(out.view, x.view, cap, parallel); },
                 [&](const char* isa) {
                   for (int64_t r = 0; r < rows; r++)
                     for (int64_t i = 0; i < 3000; i++) {
                       const double expected = cap * std::tanh(x.at<float>(r, i) / cap);
                       // Quotient, tanh (6 half ulps), product.
                       check_near(out.at<float>(r, i), expected, 9 * half_ulp * std::fabs(expected), isa, "softcap", i);
                     }
                 });
  }
  end_op();
}

}  // namespace thermocline::kernel_check
