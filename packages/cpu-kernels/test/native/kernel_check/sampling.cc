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

double uniform_number(uint32_t seed, uint32_t draw, uint32_t stream) {
  return (finalize(finalize(seed + (stream + 1) * 0x9e3779b9u) ^ draw) >> 8) / 16777216.0;
}

// Ids and logits in candidate order.
struct Choices {
  std::vector<int32_t> ids;
  std::vector<double> logits;

  std::vector<double> weights(double temperature) const {
    std::vector<double> result;
    for (const double logit : logits) result.push_back(std::exp((logit - logits[0]) / temperature));
    return result;
  }
  std::vector<double> probabilities(double temperature = 1) const {
    std::vector<double> result = weights(temperature);
    const double total = std::accumulate(result.begin(), result.end(), 0.0);
    for (double& p : result) p /= total;
    return result;
  }
  // Those at which `kept` is true.
  void keep(const std::vector<bool>& kept) {
    Choices left;
    for (size_t i = 0; i < ids.size(); i++)
      if (kept[i]) {
        left.ids.push_back(ids[i]);
        left.logits.push_back(logits[i]);
      }
    *this = left;
  }
};

// The rules of KernelSet.sample, one after the other, over copies.
struct Expected {
  int32_t token;
  float limit;
};

Expected expected_sample(std::vector<float> logits, const SampleRow& row, const std::vector<Edit>& edits, uint32_t seed, uint32_t draw, float limit) {
  for (const Edit& edit : edits) {
    float& logit = logits[static_cast<size_t>(edit.id)];
    logit = (logit > 0 ? logit / edit.penalty : logit * edit.penalty) + edit.bias;
  }
  Choices c;
  c.ids.resize(logits.size());
  std::iota(c.ids.begin(), c.ids.end(), 0);
  std::stable_sort(c.ids.begin(), c.ids.end(), [&](int32_t a, int32_t b) { return logits[static_cast<size_t>(a)] > logits[static_cast<size_t>(b)]; });
  for (const int32_t id : c.ids) c.logits.push_back(logits[static_cast<size_t>(id)]);
  if (row.temperature == 0 || std::isinf(c.logits[0])) return {c.ids[0], limit};

  if (row.mirostat_tau > 0) {
    std::vector<bool> kept;
    for (const double p : c.probabilities(row.temperature)) kept.push_back(kept.empty() || -std::log2(p) <= limit);
    c.keep(kept);
  } else {
    if (row.top_n_sigma > 0) {
      double mean = 0, squares = 0, count = 0;
      for (const float logit : logits)
        if (std::isfinite(logit)) mean += logit, count++;
      mean /= count;
      for (const float logit : logits)
        if (std::isfinite(logit)) squares += (logit - mean) * (logit - mean);
      std::vector<bool> kept;
      for (const double logit : c.logits) kept.push_back(logit >= c.logits[0] - row.top_n_sigma * std::sqrt(squares / count));
      c.keep(kept);
    }
    if (row.top_k > 0 && row.top_k < static_cast<float>(c.ids.size())) {
      c.ids.resize(static_cast<size_t>(row.top_k));
      c.logits.resize(c.ids.size());
    }
    if (row.typical_p < 1) {
      const std::vector<double> p = c.probabilities(), e = c.weights(1);
      const double log_total = std::log(std::accumulate(e.begin(), e.end(), 0.0));
      std::vector<double> distances;
      double entropy = 0;
      for (size_t i = 0; i < p.size(); i++) {
        distances.push_back(log_total - (c.logits[i] - c.logits[0]));
        if (p[i] > 0) entropy += p[i] * distances[i];
      }
      for (double& distance : distances) distance = std::fabs(distance - entropy);
      std::vector<size_t> order(p.size());
      std::iota(order.begin(), order.end(), size_t{0});
      std::stable_sort(order.begin(), order.end(), [&](size_t i, size_t j) { return distances[i] < distances[j]; });
      std::vector<bool> kept(p.size(), false);
      double sum = 0;
      for (const size_t i : order) {
        kept[i] = true;
        if ((sum += p[i]) > row.typical_p) break;
      }
      c.keep(kept);
    }
    if (row.top_p < 1) {
      std::vector<bool> kept;
      double sum = 0;
      for (const double p : c.probabilities()) {
        kept.push_back(kept.empty() || sum < row.top_p);
        sum += p;
      }
      c.keep(kept);
    }
    std::vector<bool> likely;
    for (const double weight : c.weights(1)) likely.push_back(likely.empty() || weight >= row.min_p);
    c.keep(likely);
    if (row.xtc_probability > uniform_number(seed, draw, 1)) {
      const std::vector<double> p = c.probabilities();
      std::vector<bool> kept;
      // A top choice goes where the next one is a top choice too.
      for (size_t i = 0; i < p.size(); i++) kept.push_back(!(p[i] >= row.xtc_threshold && i + 1 < p.size() && p[i + 1] >= row.xtc_threshold));
      c.keep(kept);
    }
  }
  const std::vector<double> weights = c.weights(row.temperature);
  const double total = std::accumulate(weights.begin(), weights.end(), 0.0);
  const double target = uniform_number(seed, draw, 0) * total;
  double sum = 0;
  size_t place = 0;
  for (; place + 1 < weights.size(); place++)
    if ((sum += weights[place]) > target) break;
  if (row.mirostat_tau > 0) limit = static_cast<float>(limit - row.mirostat_eta * (-std::log2(weights[place] / total) - static_cast<double>(row.mirostat_tau)));
  return {c.ids[place], limit};
}

struct SampleTensors {
  Tensor logits, params, state, edit_ids, edit_values, limits, workspace, ids;
  std::vector<float> first_limits;

  // Limits are read and written: every run begins with the first ones.
  Status run(const KernelTable& table, const Parallel& parallel) {
    memcpy(limits.bytes.data(), first_limits.data(), 4 * first_limits.size());
    return table.sample(ids.view, logits.view, params.view, state.view, edit_ids.view, edit_values.view, limits.view, workspace.view, parallel);
  }
};

SampleTensors make_sample(int64_t rows, int64_t vocabulary, int64_t edits) {
  return {random_f32({rows, vocabulary}, -9, 9, 3),       make(DType::f32, {rows, 10}), make(DType::i32, {rows, 2}), make(DType::i32, {rows, edits}),
          make(DType::f32, {rows, 2 * edits}),            make(DType::f32, {rows}),     make(DType::i8, {3 * vocabulary * 8}),
          make(DType::i32, {rows}),                       std::vector<float>(static_cast<size_t>(rows), 5.0f)};
}

}  // namespace

void check_sample() {
  begin_op("sample");
  // temperature, top k, typical p, top p, min p, top n sigma, XTC probability and threshold, mirostat tau and eta
  const SampleRow settings[] = {
      {0, 0, 1, 1, 0, 0, 0, 0, 0, 0},
      {0, 40, 1, 0.9f, 0, 0, 0, 0, 5, 0.1f},
      {1, 0, 1, 1, 0, 0, 0, 0, 0, 0},
      {0.8f, 40, 1, 0.95f, 0.05f, 0, 0, 0, 0, 0},
      {1.5f, 0, 1, 0.9f, 0, 0, 0, 0, 0, 0},
      {0.7f, 0, 1, 1, 0.1f, 0, 0, 0, 0, 0},
      {2, 1, 1, 1, 0, 0, 0, 0, 0, 0},
      {1, 200, 1, 0.5f, 0, 0, 0, 0, 0, 0},
      {1, 1e9f, 1, 1, 0, 0, 0, 0, 0, 0},
      {0.1f, 5, 1, 0, 0.5f, 0, 0, 0, 0, 0},
      {1, 3, 1, 1, 2, 0, 0, 0, 0, 0},
      {0.9f, 0, 1, 0.999f, 0, 0, 0, 0, 0, 0},
      {1, 0, 0.9f, 1, 0, 0, 0, 0, 0, 0},
      {1, 0, 0.2f, 1, 0, 0, 0, 0, 0, 0},
      {1, 30, 0.5f, 0.8f, 0, 0, 0, 0, 0, 0},
      {1, 0, 1, 1, 0, 1, 0, 0, 0, 0},
      {1.2f, 12, 1, 1, 0, 0.3f, 0, 0, 0, 0},
      {1, 0, 1, 1, 0, 0, 1, 0.05f, 0, 0},
      {1, 50, 1, 0.9f, 0.02f, 0, 0.5f, 0.1f, 0, 0},
      {1, 4, 0, 1, 0, 0, 1, 0, 0, 0},
      {1, 0, 1, 1, 0, 0, 0, 0, 5, 0.1f},
      {0.6f, 0, 1, 0.1f, 0.9f, 0, 0, 0, 2, 0.3f},
      {1.4f, 2, 1, 1, 0, 1, 0, 0, 0.5f, 1},
  };
  for (const int64_t vocabulary : {1, 2, 47, 1000, 32000}) {
    const int64_t rows = static_cast<int64_t>(std::size(settings)), most_edits = 3;
    SampleTensors s = make_sample(rows, vocabulary, most_edits);
    for (int64_t r = 0; r < rows; r++)
      for (int64_t i = 0; i < vocabulary; i++) {
        float& logit = s.logits.at<float>(r, i);
        // Ties, both zeros, and tokens that are ruled out.
        if (r % 3 == 1) logit = std::round(logit);
        if (r % 4 == 2 && i % 5 == 1) logit = -infinity;
        if (r == 6) logit = i % 2 == 0 ? -0.0f : 0.0f;
      }
    std::vector<std::vector<Edit>> edits(static_cast<size_t>(rows));
    for (int64_t r = 0; r < rows; r++) {
      memcpy(&s.params.at<float>(r, 0), &settings[r], sizeof settings[r]);
      s.first_limits[static_cast<size_t>(r)] = uniform(0.5f, 12);
      const float* row = &s.logits.at<float>(r, 0);
      const auto favourite = static_cast<int32_t>(std::max_element(row, row + vocabulary) - row);
      const auto other = static_cast<int32_t>((favourite + 1) % vocabulary);
      auto& row_edits = edits[static_cast<size_t>(r)];
      if (r % 3 != 0) row_edits.push_back({favourite, uniform(0.8f, 1.5f), uniform(-1, 1)});
      if (r % 3 == 2 && other != favourite) row_edits.push_back({other, 1, r % 2 == 0 ? -infinity : 2.0f});
      for (int64_t i = 0; i < most_edits; i++) {
        const bool given = i < static_cast<int64_t>(row_edits.size());
        s.edit_ids.at<int32_t>(r, i) = given ? row_edits[static_cast<size_t>(i)].id : -1;
        s.edit_values.at<float>(r, 2 * i) = given ? row_edits[static_cast<size_t>(i)].penalty : 0;
        s.edit_values.at<float>(r, 2 * i + 1) = given ? row_edits[static_cast<size_t>(i)].bias : 0;
      }
    }
    const Tensor before = s.logits;
    for (int trial = 0; trial < (vocabulary > 2000 ? 2 : 20); trial++) {
      std::vector<Expected> expected;
      for (int64_t r = 0; r < rows; r++) {
        s.state.at<int32_t>(r, 0) = static_cast<int32_t>(generator());
        s.state.at<int32_t>(r, 1) = trial == 0 ? 0 : static_cast<int32_t>(generator());
        const float* row = &s.logits.at<float>(r, 0);
        expected.push_back(expected_sample({row, row + vocabulary}, settings[r], edits[static_cast<size_t>(r)], static_cast<uint32_t>(s.state.at<int32_t>(r, 0)),
                                           static_cast<uint32_t>(s.state.at<int32_t>(r, 1)), s.first_limits[static_cast<size_t>(r)]));
      }
      for_each_isa(s.ids, [&](const KernelTable& table, const Parallel& parallel) { return s.run(table, parallel); },
                   [&](const char* isa) {
                     for (int64_t r = 0; r < rows; r++) {
                       const auto [token, limit] = expected[static_cast<size_t>(r)];
                       check(s.ids.as<int32_t>()[r] == token, "%s: row %d of %d: token %d, expected %d", isa, int(r), int(vocabulary), s.ids.as<int32_t>()[r], token);
                       check_near(s.limits.as<float>()[r], limit, 2 * half_ulp * std::fabs(limit), isa, "limit", r);
                     }
                     check(memcmp(s.logits.bytes.data(), before.bytes.data(), s.logits.bytes.size()) == 0, "%s changed the logits", isa);
                   });
    }
  }

  // NaN names its row; edits and the workspace are checked; infinity wins and leaves mirostat's limit.
  SampleTensors s = make_sample(4, 100, 1);
  for (int64_t r = 0; r < 4; r++) {
    memcpy(&s.params.at<float>(r, 0), &settings[r == 3 ? 20 : r], sizeof settings[0]);
    s.edit_ids.at<int32_t>(r, 0) = -1;
  }
  const auto run = [&](const KernelTable& table, const Parallel& parallel) { return s.run(table, parallel); };
  s.logits.at<float>(3, 7) = infinity;
  for_each_isa(s.ids, run, [&](const char* isa) {
    check(s.ids.as<int32_t>()[3] == 7, "%s: infinity is not drawn", isa);
    check(s.limits.as<float>()[3] == 5.0f, "%s: a limit moved without a draw", isa);
  });
  s.edit_ids.at<int32_t>(1, 0) = 100;
  expect_problem(run, 100, 100, "an edit outside the vocabulary");
  s.edit_ids.at<int32_t>(1, 0) = -2;
  expect_problem(run, -2, 100, "a negative edit");
  s.edit_ids.at<int32_t>(1, 0) = 3;
  s.edit_values.at<float>(1, 0) = 1;
  s.edit_values.at<float>(1, 1) = not_a_number;
  expect_problem(run, 1, 4, "an edit that makes NaN");
  s.edit_ids.at<int32_t>(1, 0) = -1;
  s.logits.at<float>(3, 99) = s.logits.at<float>(2, 0) = not_a_number;
  expect_problem(run, 2, 4, "NaN logits");
  s.workspace.view.shape[0] = 799;
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
