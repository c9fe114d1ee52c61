// sample and top_logprobs over logits [R, V]; a row is one work item. Probabilities are f64 with libm's exp, taken in the order of the
// candidates, so a row's token depends on that row alone and is the same in every instruction set.
#pragma once
#include <math.h>

#include "candidates.h"
#include "workspace.h"

namespace thermocline::THERMOCLINE_ISA {
namespace {

// Columns of `params`, in the order of samplingColumns of @thermocline/spec.
struct SamplingRow {
  float temperature, top_k, typical_p, top_p, min_p, top_n_sigma, xtc_probability, xtc_threshold, mirostat_tau, mirostat_eta;
};

// MurmurHash3's 32-bit finalizer.
inline uint32_t mix(uint32_t hash) {
  hash = (hash ^ (hash >> 16)) * 0x85ebca6bu;
  hash = (hash ^ (hash >> 13)) * 0xc2b2ae35u;
  return hash ^ (hash >> 16);
}

// uniformOf of @thermocline/spec: 24 bits in [0, 1).
inline double uniform_of(uint32_t seed, uint32_t draw) {
  return static_cast<double>(mix(mix(seed + 0x9e3779b9u) ^ draw) >> 8) / 0x1000000;
}

// One row's edits: ids, each at most once, up to the first -1; for each a penalty and a bias.
struct LogitEdits {
  const int32_t* ids;
  const float* values;
  int64_t most;
};

// false where a logit, before or after its edit, is NaN.
inline bool collect_candidates(uint64_t* candidates, const float* logits, int64_t vocabulary, const LogitEdits& edits) {
  bool any_nan = false;
  for (int64_t id = 0; id < vocabulary; id++) {
    any_nan |= is_nan(logits[id]);
    candidates[id] = candidate_of(logits[id], static_cast<uint32_t>(id));
  }
  for (int64_t i = 0; i < edits.most && edits.ids[i] >= 0; i++) {
    const int32_t id = edits.ids[i];
    const float penalty = edits.values[2 * i];
    const float edited = (logits[id] > 0 ? logits[id] / penalty : logits[id] * penalty) + edits.values[2 * i + 1];
    any_nan |= is_nan(edited);
    candidates[id] = candidate_of(edited, static_cast<uint32_t>(id));
  }
  return !any_nan;
}

// Sorted candidates that top-k keeps.
inline int64_t keep_top_k(uint64_t* candidates, int64_t vocabulary, float top_k) {
  const bool all = !(top_k >= 1.0f) || top_k >= static_cast<float>(vocabulary);
  const int64_t kept = all ? vocabulary : static_cast<int64_t>(top_k);
  // A heap of k costs about log k a candidate that enters it; past an eighth of the vocabulary sorting everything is no slower.
  if (kept <= vocabulary / 8) select_best(candidates, vocabulary, kept);
  else sort_candidates(candidates, vocabulary);
  return kept;
}

// Of `kept` sorted candidates, the smallest prefix whose probability reaches top_p, without those below min_p of the best; at least one.
inline int64_t keep_likely(const uint64_t* candidates, int64_t kept, float top_p, float min_p) {
  const float best = logit_of(candidates[0]);
  if (top_p < 1.0f) {
    double total = 0;
    for (int64_t i = 0; i < kept; i++) total += ::exp(below_best(logit_of(candidates[i]), best));
    double cumulative = 0;
    for (int64_t i = 0; i < kept; i++) {
      cumulative += ::exp(below_best(logit_of(candidates[i]), best)) / total;
      if (cumulative >= static_cast<double>(top_p)) kept = i + 1;
    }
  }
  if (min_p > 0.0f) {
    // The best one's weight is 1, so the total cancels.
    while (kept > 1 && ::exp(below_best(logit_of(candidates[kept - 1]), best)) < static_cast<double>(min_p)) kept--;
  }
  return kept;
}

inline int32_t draw(const uint64_t* candidates, int64_t kept, float temperature, double uniform) {
  const float best = logit_of(candidates[0]);
  double total = 0;
  for (int64_t i = 0; i < kept; i++) total += ::exp(below_best(logit_of(candidates[i]), best) / static_cast<double>(temperature));
  double sum = 0;
  for (int64_t i = 0; i < kept; i++) {
    sum += ::exp(below_best(logit_of(candidates[i]), best) / static_cast<double>(temperature));
    if (sum > uniform * total) return id_of(candidates[i]);
  }
  return id_of(candidates[kept - 1]);
}

inline int32_t sample_candidates(uint64_t* candidates, int64_t vocabulary, const SamplingRow& params, double uniform) {
  if (!(params.temperature > 0.0f)) {
    uint64_t best = candidates[0];
    for (int64_t i = 1; i < vocabulary; i++) best = candidates[i] < best ? candidates[i] : best;
    return id_of(best);
  }
  const int64_t likeliest = keep_top_k(candidates, vocabulary, params.top_k);
  // Beside an infinite logit no probabilities exist: the first candidate is the token, as KernelSet says.
  if (is_infinite(logit_of(candidates[0]))) return id_of(candidates[0]);
  const int64_t kept = keep_likely(candidates, likeliest, params.top_p, params.min_p);
  return draw(candidates, kept, params.temperature, uniform);
}

inline Status sample(const TensorView& token_ids, const TensorView& logits, const TensorView& params, const TensorView& random_state,
                     const TensorView& edit_ids, const TensorView& edit_values, const TensorView& surprise_limits, const TensorView& workspace,
                     const Parallel& parallel) {
  const int64_t num_rows = logits.shape[0];
  const int64_t vocabulary = logits.shape[1];
  if (num_rows == 0) return {};
  if (vocabulary == 0) return {"no logits to sample from", 0, 1};
  const int64_t needed = sample_workspace_bytes(maximum(1, parallel.threads), vocabulary);
  const int64_t given = present(workspace) ? byte_length_of(workspace) : 0;
  if (given < needed) return {"sample's workspace is too small", given, needed};
  for (int64_t r = 0; r < num_rows; r++) {
    const int32_t* ids = row_of<const int32_t>(edit_ids, r);
    for (int64_t i = 0; i < edit_ids.shape[1] && ids[i] != -1; i++)
      if (ids[i] < 0 || ids[i] >= vocabulary) return {"edited token id outside the vocabulary", ids[i], vocabulary};
  }
  NanRow nan_row;
  parallel_for(parallel, num_rows, 1, [&](int64_t first, int64_t last, int thread) {
    uint64_t* candidates = reinterpret_cast<uint64_t*>(workspace.data) + thread * vocabulary;
    for (int64_t r = first; r < last; r++) {
      SamplingRow row;
      memcpy(&row, row_of<const float>(params, r), sizeof row);
      if (!collect_candidates(candidates, row_of<const float>(logits, r), vocabulary, 
                              {row_of<const int32_t>(edit_ids, r), row_of<const float>(edit_values, r), edit_ids.shape[1]})) {
        nan_row.report(r);
        continue;
      }
      const int32_t* state = row_of<const int32_t>(random_state, r);
      const double uniform = uniform_of(static_cast<uint32_t>(state[0]), static_cast<uint32_t>(state[1]));
      *row_of<int32_t>(token_ids, r) = sample_candidates(candidates, vocabulary, row, uniform);
    }
  });
  return nan_row.status(num_rows);
}

// false where a logit is NaN. Columns that the vocabulary cannot fill hold id -1 and -infinity.
inline bool top_logprobs_row(int32_t* ids, float* logprobs, int64_t columns, const float* logits, int64_t vocabulary, int32_t sampled) {
  float best = logits[0];
  bool any_nan = false;
  for (int64_t id = 0; id < vocabulary; id++) {
    any_nan |= is_nan(logits[id]);
    best = logits[id] > best ? logits[id] : best;
  }
  if (any_nan) return false;
  double total = 0;
  for (int64_t id = 0; id < vocabulary; id++) total += ::exp(below_best(logits[id], best));
  for (int64_t i = 1; i < columns; i++) {
    ids[i] = -1;
    logprobs[i] = -__builtin_inff();
  }
  for (int64_t id = 0; id < vocabulary; id++) insert_logit(ids + 1, logprobs + 1, columns - 1, static_cast<int32_t>(id), logits[id]);
  ids[0] = sampled;
  logprobs[0] = logits[sampled];
  const double log_total = ::log(total);
  for (int64_t i = 0; i < columns; i++)
    if (ids[i] >= 0) logprobs[i] = static_cast<float>(below_best(logprobs[i], best) - log_total);
  return true;
}

inline Status top_logprobs(const TensorView& ids, const TensorView& logprobs, const TensorView& logits, const TensorView& sampled_token_ids,
                           const Parallel& parallel) {
  const int64_t num_rows = logits.shape[0];
  const Status status = check_indices(sampled_token_ids, logits.shape[1], "sampled token id outside the vocabulary");
  if (status.problem != nullptr) return status;
  if (num_rows == 0 || ids.shape[1] == 0) return {};
  NanRow nan_row;
  parallel_for(parallel, num_rows, 1, [&](int64_t first, int64_t last, int) {
    for (int64_t r = first; r < last; r++) {
      const int32_t sampled = *row_of<const int32_t>(sampled_token_ids, r);
      if (!top_logprobs_row(row_of<int32_t>(ids, r), row_of<float>(logprobs, r), ids.shape[1], row_of<const float>(logits, r),
                            logits.shape[1], sampled))
        nan_row.report(r);
    }
  });
  return nan_row.status(num_rows);
}

}  // namespace
}  // namespace thermocline::THERMOCLINE_ISA
