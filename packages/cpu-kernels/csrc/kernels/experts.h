// route_experts: the best experts of each token and their weights. combine_experts: the weighted sum of their outputs.
#pragma once
#include <math.h>

#include "candidates.h"
#include "vector_math.h"

namespace thermocline::THERMOCLINE_ISA {
namespace {

// Most experts first to last, in the order of candidates; probabilities are f64 with libm's exp, summed by ascending expert.
// false where a logit is NaN.
inline bool route_token(int32_t* ids, float* weights, int64_t num_used, const float* logits, int64_t num_experts, bool normalize) {
  float best = logits[0];
  for (int64_t expert = 0; expert < num_experts; expert++) {
    if (is_nan(logits[expert])) return false;
    best = logits[expert] > best ? logits[expert] : best;
  }
  for (int64_t u = 0; u < num_used; u++) ids[u] = -1;
  for (int64_t expert = 0; expert < num_experts; expert++) insert_logit(ids, weights, num_used, static_cast<int32_t>(expert), logits[expert]);
  double total = 0;
  if (normalize) {
    // The sum over all experts cancels.
    for (int64_t u = 0; u < num_used; u++) total += ::exp(below_best(weights[u], best));
  } else {
    for (int64_t expert = 0; expert < num_experts; expert++) total += ::exp(below_best(logits[expert], best));
  }
  for (int64_t u = 0; u < num_used; u++) weights[u] = static_cast<float>(::exp(below_best(weights[u], best)) / total);
  return true;
}

inline Status route_experts(const TensorView& expert_ids, const TensorView& expert_weights, const TensorView& logits, uint32_t normalize,
                            const Parallel& parallel) {
  const int64_t num_tokens = logits.shape[0];
  const int64_t num_experts = logits.shape[1];
  const int64_t num_used = expert_ids.shape[1];
  if (num_used > num_experts) return {"more experts used than there are", num_used, num_experts};
  NanRow nan_row;
  // An exponential costs about as much as 16 elements of elementwise work.
  parallel_for(parallel, num_tokens, grain_of(elementwise_range, 16 * num_experts), [&](int64_t first, int64_t last, int) {
    for (int64_t t = first; t < last; t++)
      if (!route_token(row_of<int32_t>(expert_ids, t), row_of<float>(expert_weights, t), num_used, row_of<const float>(logits, t), num_experts,
                       normalize != 0))
        nan_row.report(t);
  });
  return nan_row.status(num_tokens);
}

// out [T, H] = Σ expert_weights[t, u] · x[t, u], by fma in ascending u.
inline Status combine_experts(const TensorView& out, const TensorView& x, const TensorView& expert_weights, const Parallel& parallel) {
  const int64_t num_used = x.shape[1];
  const int64_t columns = x.shape[2];
  parallel_for(parallel, out.shape[0], grain_of(elementwise_range, num_used * columns), [&](int64_t first, int64_t last, int) {
    for (int64_t t = first; t < last; t++) {
      const float* weights = row_of<const float>(expert_weights, t);
      const float* rows = row_of<const float>(x, t);
      for (int64_t i = 0; i < columns; i += 16) {
        const int count = static_cast<int>(minimum(16, columns - i));
        F32x16 sum = splat(0.0f);
        for (int64_t u = 0; u < num_used; u++) sum = fma(splat(weights[u]), load_lanes(rows + u * columns + i, count), sum);
        store_lanes(row_of<float>(out, t) + i, sum, count);
      }
    }
  });
  return {};
}

}  // namespace
}  // namespace thermocline::THERMOCLINE_ISA
