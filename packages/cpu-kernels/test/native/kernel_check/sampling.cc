// sample, top_logprobs: against a sort of the whole row.
#include "kernel_check.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

namespace thermocline::kernel_check {
namespace {

struct SampleRow { float temperature, top_k, typical_p, top_p, min_p, top_n_sigma, xtc_probability, xtc_threshold, mirostat_tau, mirostat_eta; };
struct Edit { int32_t id; float penalty, bias; };

uint32_t finalize(uint32_t h) {
  h ^= h >> 16;
  h *= 0x85ebca6bu;
  h ^= h >> 13;
  h *= 0xc2b2ae35u;
  return h ^ h >> 16;
}

int32_t expected_sample(std::vector<float> logits, const SampleRow& row, const std::vector<Edit>& edits, uint32_t seed, uint32_t draw) {
  for (const Edit& edit : edits) {
    float& logit = logits[static_cast<size_t>(edit.id)];
    logit = (logit > 0 ? logit / edit.penalty : logit * edit.penalty) + edit.bias;
  }
  std::vector<int32_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) { return logits[static_cast<size_t>(a)] > logits[static_cast<size_t>(b)]; });
  if (row.temperature == 0) return order[0];
  if (row.top_k > 0 && row.top_k < static_cast<float>(order.size())) order.resize(static_cast<size_t>(row.top_k));
  const double best = logits[static_cast<size_t>(order[0])];
  std::vector<double> probabilities;
  for (const int32_t id : order) probabilities.push_back(std::exp(logits[static_cast<size_t>(id)] - best));
  const double total = std::accumulate(probabilities.begin(), probabilities.end(), 0.0);
  size_t kept = 0;
  double cumulative = 0;
  while (kept < order.size()) {
    cumulative += probabilities[kept++] / total;
    if (row.top_p < 1 && cumulative >= row.top_p) break;
  }
  while (kept > 1 && probabilities[kept - 1] / total < static_cast<double>(row.min_p) * probabilities[0] / total) kept--;
  std::vector<double> weights;
  for (size_t i = 0; i < kept; i++) weights.push_back(std::exp((logits[static_cast<size_t>(order[i])] - best) / row.temperature));
  const double u = (finalize(finalize(seed + 0x9e3779b9u) ^ draw) >> 8) / 16777216.0;
  const double target = u * std::accumulate(weights.begin(), weights.end(), 0.0);
  double sum = 0;
  for (size_t i = 0; i < kept; i++) {
    sum += weights[i];
    if (sum > target) return order[i];
  }
  return order[kept - 1];
}

}  // namespace

void check_sample() {
  begin_op("sample");
  const SampleRow settings[] = {{0, 0, 1, 1, 0, 0, 0, 0, 0, 0},    {0, 40, 1, 0.9f, 0, 0, 0, 0, 0, 0},  {1, 0, 1, 1, 0, 0, 0, 0, 0, 0},
                                {0.8f, 40, 1, 0.95f, 0.05f, 0, 0, 0, 0, 0}, {1.5f, 0, 1, 0.9f, 0, 0, 0, 0, 0, 0}, {0.7f, 0, 1, 1, 0.1f, 0, 0, 0, 0, 0},
                                {2, 1, 1, 1, 0, 0, 0, 0, 0, 0},    {1, 200, 1, 0.5f, 0, 0, 0, 0, 0, 0}, {1, 1e9f, 1, 1, 0, 0, 0, 0, 0, 0},
                                {0.1f, 5, 1, 0, 0.5f, 0, 0, 0, 0, 0}, {1, 3, 1, 1, 2, 0, 0, 0, 0, 0},   {0.9f, 0, 1, 0.999f, 0, 0, 0, 0, 0, 0}};
  for (const int64_t vocabulary : {1, 2, 47, 1000, 32000}) {
    const int64_t rows = static_cast<int64_t>(std::size(settings)), most_edits = 3;
    Tensor logits = random_f32({rows, vocabulary}, -9, 9, 3);
    for (int64_t r = 0; r < rows; r++)
      for (int64_t i = 0; i < vocabulary; i++) {
        float& logit = logits.at<float>(r, i);
        // Ties, both zeros, and tokens that are ruled out.
        if (r % 3 == 1) logit = std::round(logit);
        if (r % 4 == 2 && i % 5 == 1) logit = -infinity;
        if (r == 6) logit = i % 2 == 0 ? -0.0f : 0.0f;
      }
    Tensor params = make(DType::f32, {rows, 10}), state = make(DType::i32, {rows, 2}), edit_ids = make(DType::i32, {rows, most_edits});
    Tensor edit_values = make(DType::f32, {rows, 2 * most_edits}), limits = make(DType::f32, {rows});
    std::vector<std::vector<Edit>> edits(static_cast<size_t>(rows));
    Tensor workspace = make(DType::i8, {3 * vocabulary * 8}), ids = make(DType::i32, {rows});
    for (int64_t r = 0; r < rows; r++) {
      memcpy(&params.at<float>(r, 0), &settings[r], sizeof settings[r]);
      const auto favourite = static_cast<int32_t>(std::max_element(&logits.at<float>(r, 0), &logits.at<float>(r, 0) + vocabulary) - &logits.at<float>(r, 0));
      const auto other = static_cast<int32_t>((favourite + 1) % vocabulary);
      auto& row_edits = edits[static_cast<size_t>(r)];
      if (r % 3 != 0) row_edits.push_back({favourite, uniform(0.8f, 1.5f), uniform(-1, 1)});
      if (r % 3 == 2 && other != favourite) row_edits.push_back({other, 1, r % 2 == 0 ? -infinity : 2.0f});
      for (int64_t i = 0; i < most_edits; i++) {
        const bool given = i < static_cast<int64_t>(row_edits.size());
        edit_ids.at<int32_t>(r, i) = given ? row_edits[static_cast<size_t>(i)].id : -1;
        edit_values.at<float>(r, 2 * i) = given ? row_edits[static_cast<size_t>(i)].penalty : 0;
        edit_values.at<float>(r, 2 * i + 1) = given ? row_edits[static_cast<size_t>(i)].bias : 0;
      }
    }
    const Tensor before = logits;
    for (int trial = 0; trial < (vocabulary > 2000 ? 3 : 20); trial++) {
      for (int64_t r = 0; r < rows; r++) {
        state.at<int32_t>(r, 0) = static_cast<int32_t>(generator());
        state.at<int32_t>(r, 1) = trial == 0 ? 0 : static_cast<int32_t>(generator());
      }
      for_each_isa(ids, [&](const KernelTable& table, const Parallel& parallel) { return table.sample(ids.view, logits.view, params.view, state.view, edit_ids.view, edit_values.view, limits.view, workspace.view, parallel); },
                   [&](const char* isa) {
                     for (int64_t r = 0; r < rows; r++) {
                       const float* row = &logits.at<float>(r, 0);
                       const int32_t expected = expected_sample({row, row + vocabulary}, settings[r], edits[static_cast<size_t>(r)], static_cast<uint32_t>(state.at<int32_t>(r, 0)),
                                                                static_cast<uint32_t>(state.at<int32_t>(r, 1)));
                       check(ids.as<int32_t>()[r] == expected, "%s: row %d of %d: token %d, expected %d", isa, int(r), int(vocabulary), ids.as<int32_t>()[r], expected);
                     }
                     check(memcmp(logits.bytes.data(), before.bytes.data(), logits.bytes.size()) == 0, "%s changed the logits", isa);
                   });
    }
  }

  // NaN names its row; the workspace is measured; infinity wins.
  Tensor logits = random_f32({4, 100}), params = make(DType::f32, {4, 10}), state = make(DType::i32, {4, 2});
  Tensor edit_ids = make(DType::i32, {4, 0}), edit_values = make(DType::f32, {4, 0}), limits = make(DType::f32, {4});
  Tensor workspace = make(DType::i8, {3 * 800}), ids = make(DType::i32, {4});
  for (int64_t r = 0; r < 4; r++) memcpy(&params.at<float>(r, 0), &settings[r], sizeof settings[r]);
  const auto run = [&](const KernelTable& table, const Parallel& parallel) { return table.sample(ids.view, logits.view, params.view, state.view, edit_ids.view, edit_values.view, limits.view, workspace.view, parallel); };
  logits.at<float>(3, 7) = infinity;
  for_each_isa(ids, run, [&](const char* isa) { check(ids.as<int32_t>()[3] == 7, "%s: infinity is not drawn", isa); });
  logits.at<float>(3, 99) = logits.at<float>(2, 0) = not_a_number;
  expect_problem(run, 2, 4, "NaN logits");
  workspace.view.shape[0] = 799;
  expect_problem(run, 799, 800, "a workspace that is too small");
  end_op();
}

void check_top_logprobs() {
  begin_op("top_logprobs");
  for (const int64_t vocabulary : {1, 4, 333, 5000})
    for (const int64_t columns : {1, 2, 6}) {
      const int64_t rows = 4;
      Tensor logits = random_f32({rows, vocabulary}, -8, 8, 1);
      for (int64_t i = 0; i < vocabulary; i++) logits.at<float>(1, i) = std::round(logits.at<float>(1, i) / 4);
      std::vector<int32_t> tokens;
      for (int64_t r = 0; r < rows; r++) tokens.push_back(uniform_int(0, static_cast<int>(vocabulary) - 1));
      Tensor sampled = from_ints({rows}, tokens), ids = make(DType::i32, {rows, columns}), logprobs = make(DType::f32, {rows, columns}, 2);
      for_each_isa(logprobs, [&](const KernelTable& table, const Parallel& parallel) { return table.top_logprobs(ids.view, logprobs.view, logits.view, sampled.view, parallel); },
                   [&](const char* isa) {
                     for (int64_t r = 0; r < rows; r++) {
                       const float* row = &logits.at<float>(r, 0);
                       std::vector<int32_t> order(static_cast<size_t>(vocabulary));
                       std::iota(order.begin(), order.end(), 0);
                       std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) { return row[a] > row[b]; });
                       double total = 0;
                       for (int64_t i = 0; i < vocabulary; i++) total += std::exp(static_cast<double>(row[i]));
                       for (int64_t i = 0; i < columns; i++) {
                         const int32_t expected = i == 0 ? tokens[static_cast<size_t>(r)] : i - 1 < vocabulary ? order[static_cast<size_t>(i - 1)] : -1;
                         check(ids.at<int32_t>(r, i) == expected, "%s row %d column %d: id %d, expected %d", isa, int(r), int(i), ids.at<int32_t>(r, i), expected);
                         const double logprob = expected < 0 ? -infinity : row[expected] - std::log(total);
                         check_near(logprobs.at<float>(r, i), logprob, half_ulp * std::fabs(logprob) + 1e-13, isa, "logprob", i);
                       }
                     }
                   });
    }
  Tensor logits = random_f32({2, 10}), sampled = from_ints({2}, {3, 4}), ids = make(DType::i32, {2, 3}), logprobs = make(DType::f32, {2, 3});
  const auto run = [&](const KernelTable& table, const Parallel& parallel) { return table.top_logprobs(ids.view, logprobs.view, logits.view, sampled.view, parallel); };
  sampled.as<int32_t>()[1] = 10;
  expect_problem(run, 10, 10, "a sampled id outside the vocabulary");
  sampled.as<int32_t>()[1] = 9;
  logits.at<float>(1, 5) = not_a_number;
  expect_problem(run, 1, 2, "NaN logits");
  end_op();
}

}  // namespace thermocline::kernel_check
