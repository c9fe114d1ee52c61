// route_experts, combine_experts, mean_pool.
#include "kernel_check.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace thermocline::kernel_check {
namespace {

void check_route_case(int64_t tokens, int64_t experts, int64_t used, bool normalize) {
  Tensor logits = random_f32({tokens, experts}, -6, 6, 2), ids = make(DType::i32, {tokens, used}, 1), weights = make(DType::f32, {tokens, used}, 3);
  for (int64_t i = 0; i < experts; i++) {
    // Ties; equal infinities share what there is.
    if (tokens > 1) logits.at<float>(1, i) = std::round(logits.at<float>(1, i) / 6);
    if (tokens > 2) logits.at<float>(2, i) = i % 3 == 0 ? -infinity : 2;
    if (tokens > 3) logits.at<float>(3, i) = -infinity;
  }
  for_each_isa(weights, [&](const KernelTable& table, const Parallel& parallel) { return table.route_experts(ids.view, weights.view, logits.view, normalize, parallel); },
               [&](const char* isa) {
                 for (int64_t t = 0; t < tokens; t++) {
                   const float* row = &logits.at<float>(t, 0);
                   std::vector<int32_t> order(static_cast<size_t>(experts));
                   std::iota(order.begin(), order.end(), 0);
                   std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) { return row[a] > row[b]; });
                   const float best = row[order[0]];
                   const auto exponential = [&](int32_t id) { return row[id] == best ? 1.0 : std::exp(static_cast<double>(row[id]) - best); };
                   double total = 0;
                   for (int64_t i = 0; i < (normalize ? used : experts); i++) total += exponential(order[static_cast<size_t>(i)]);
                   for (int64_t u = 0; u < used; u++) {
                     const int32_t expected = order[static_cast<size_t>(u)];
                     check(ids.at<int32_t>(t, u) == expected, "%s token %d place %d: expert %d, expected %d", isa, int(t), int(u), ids.at<int32_t>(t, u), expected);
                     const double probability = exponential(expected) / total;
                     check_near(weights.at<float>(t, u), probability, half_ulp * probability + 1e-45, isa, "weight", u);
                   }
                 }
               });
}

}  // namespace

void check_experts() {
  begin_op("route_experts");
  for (const bool normalize : {false, true}) {
    check_route_case(1, 1, 1, normalize);
    check_route_case(5, 8, 2, normalize);
    check_route_case(4, 7, 7, normalize);
    check_route_case(9, 128, 8, normalize);
  }
  Tensor logits = random_f32({3, 8}), ids = make(DType::i32, {3, 2}), weights = make(DType::f32, {3, 2});
  const auto route = [&](const KernelTable& table, const Parallel& parallel) { return table.route_experts(ids.view, weights.view, logits.view, 1, parallel); };
  logits.at<float>(2, 1) = logits.at<float>(1, 7) = not_a_number;
  expect_problem(route, 1, 3, "NaN logits");
  end_op();

  begin_op("combine_experts");
  for (const int64_t used : {1, 2, 8})
    for (const int64_t columns : {1, 16, 100, 4097}) {
      const int64_t tokens = 3;
      Tensor x = random_f32({tokens, used, columns}, -2, 2, 5), shares = random_f32({tokens, used}, 0, 1, 1), out = make(DType::f32, {tokens, columns}, 2);
      for_each_isa(out, [&](const KernelTable& table, const Parallel& parallel) { return table.combine_experts(out.view, x.view, shares.view, parallel); },
                   [&](const char* isa) {
                     for (int64_t t = 0; t < tokens; t++)
                       for (int64_t i = 0; i < columns; i++) {
                         double sum = 0, magnitude = 0;
                         for (int64_t u = 0; u < used; u++) {
                           const double term = static_cast<double>(shares.at<float>(t, u)) * x.at<float>(t, u * columns + i);
                           sum += term;
                           magnitude += std::fabs(term);
                         }
                         // A product and a sum each, where `fma` rounds twice.
                         check_near(out.at<float>(t, i), sum, half_ulp * (static_cast<double>(used) + 1) * magnitude + 1e-38, isa, "sum", i);
                       }
                   });
    }
  end_op();
}

void check_mean_pool() {
  begin_op("mean_pool");
  for (const int64_t columns : {1, 64, 100, 385}) {
    const std::vector<int32_t> bounds{1, 4, 4, 5, 12, -9};  // more entries than sequences need
    Tensor x = random_f32({13, columns}, -1, 3, 3), starts = from_ints({6}, bounds), out = random_f32({4, columns}, 5, 6, 1);
    for_each_isa(out, [&](const KernelTable& table, const Parallel& parallel) { return table.mean_pool(out.view, x.view, starts.view, parallel); },
                 [&](const char* isa) {
                   for (int64_t s = 0; s < 4; s++)
                     for (int64_t i = 0; i < columns; i++) {
                       const int32_t begin = bounds[static_cast<size_t>(s)], end = bounds[static_cast<size_t>(s + 1)];
                       double sum = 0, magnitude = 0;
                       for (int64_t row = begin; row < end; row++) {
                         sum += x.at<float>(row, i);
                         magnitude += std::fabs(x.at<float>(row, i));
                       }
                       const double count = std::max(1, end - begin);
                       // A rounding for each addition and one for the quotient.
                       check_near(out.at<float>(s, i), sum / count, half_ulp * (count + 1) * magnitude / count, isa, "mean", i);
                     }
                 });
  }
  Tensor x = random_f32({4, 8}), starts = from_ints({3}, {0, 2, 4}), out = make(DType::f32, {2, 8});
  const auto run = [&](const KernelTable& table, const Parallel& parallel) { return table.mean_pool(out.view, x.view, starts.view, parallel); };
  const auto with = [&](size_t place, int32_t value, int64_t limit, const char* what) {
    const int32_t saved = starts.as<int32_t>()[place];
    starts.as<int32_t>()[place] = value;
    expect_problem(run, value, limit, what);
    starts.as<int32_t>()[place] = saved;
  };
  with(0, -1, 0, "a negative start");
  with(1, 5, 4, "a start beyond the rows");
  with(2, 1, 2, "descending starts");
  out.view.shape[0] = 3;
  expect_problem(run, 3, 4, "too few starts");
  end_op();
}

}  // namespace thermocline::kernel_check
