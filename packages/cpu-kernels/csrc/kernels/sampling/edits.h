// Step 1: penalties and biases, and the candidates that they leave.
#pragma once
#include "candidate_list.h"

namespace thermocline::THERMOCLINE_ISA {
namespace {

// One row's edits: ids, each at most once, up to the first -1; for each a penalty and a bias.
struct LogitEdits {
  const int32_t* ids;
  const float* values;
  int64_t most;
};

inline Status check_edits(const TensorView& edit_ids, int64_t vocabulary) {
  for (int64_t r = 0; r < edit_ids.shape[0]; r++) {
    const int32_t* ids = row_of<const int32_t>(edit_ids, r);
    for (int64_t i = 0; i < edit_ids.shape[1] && ids[i] != -1; i++)
      if (ids[i] < 0 || ids[i] >= vocabulary) return {"edited token id outside the vocabulary", ids[i], vocabulary};
  }
  return {};
}

// Candidates of all tokens, in ascending order of ids. false where a logit is NaN, before or after its edit.
inline bool collect_candidates(uint64_t* candidates, const float* logits, int64_t vocabulary, const LogitEdits& edits) {
  bool any_nan = false;
  for (int64_t id = 0; id < vocabulary; id++) {
    any_nan |= is_nan(logits[id]);
    candidates[id] = candidate_of(logits[id], static_cast<uint32_t>(id));
  }
  for (int64_t i = 0; i < edits.most && edits.ids[i] != -1; i++) {
    const int32_t id = edits.ids[i];
    const float penalty = edits.values[2 * i];
    const float bias = edits.values[2 * i + 1];
    const float edited = (logits[id] > 0 ? logits[id] / penalty : logits[id] * penalty) + bias;
    any_nan |= is_nan(edited);
    candidates[id] = candidate_of(edited, static_cast<uint32_t>(id));
  }
  return !any_nan;
}

}  // namespace
}  // namespace thermocline::THERMOCLINE_ISA
