// top_logprobs over logits [R, V]; a row is one work item. Probabilities are f64 with libm's exp, summed by ascending id.
#pragma once
#include <math.h>

#include "candidates.h"

namespace thermocline::THERMOCLINE_ISA {
namespace {

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
