// sample: a token for each row of logits [R, V], in the steps of KernelSet.sample; a row is one work item.
#pragma once
#include "sampling/draw.h"
#include "sampling/edits.h"
#include "sampling/mirostat.h"
#include "sampling/truncation.h"
#include "sampling/typical_p.h"
#include "sampling/xtc.h"
#include "workspace.h"

namespace thermocline::THERMOCLINE_ISA {
namespace {

// Columns of `params`, in the order of samplingColumns of @thermocline/spec.
struct SamplingParams {
  float temperature, top_k, typical_p, top_p, min_p, top_n_sigma, xtc_probability, xtc_threshold, mirostat_tau, mirostat_eta;
};
constexpr int64_t num_sampling_columns = sizeof(SamplingParams) / sizeof(float);

// `list` holds all tokens by ascending id. The surprise limit is read and written where mirostat draws.
inline int32_t choose_token(CandidateList list, const SamplingParams& params, uint32_t seed, uint32_t draw_number, float& surprise_limit) {
  uint64_t first = list.candidates[0];
  for (int64_t i = 1; i < list.count; i++) first = list.candidates[i] < first ? list.candidates[i] : first;
  const float best = logit_of(first);
  if (!(params.temperature > 0.0f) || is_infinite(best)) return id_of(first);
  const double temperature = static_cast<double>(params.temperature);
  const double uniform = uniform_of(seed, draw_number, token_stream);

  if (params.mirostat_tau > 0.0f) {
    const double limit = static_cast<double>(surprise_limit);
    sort_candidates(list.candidates, list.count);
    keep_unsurprising(list, temperature, limit);
    const Drawn drawn = draw(list, temperature, uniform);
    surprise_limit = static_cast<float>(next_surprise_limit(limit, drawn.share, params.mirostat_tau, params.mirostat_eta));
    return drawn.token_id;
  }
  keep_within_sigmas(list, best, params.top_n_sigma);
  keep_top_k(list, params.top_k);
  keep_typical(list, params.typical_p);
  keep_nucleus(list, params.top_p);
  keep_likely(list, params.min_p);
  if (static_cast<double>(params.xtc_probability) > uniform_of(seed, draw_number, xtc_stream)) exclude_top_choices(list, params.xtc_threshold);
  return draw(list, temperature, uniform).token_id;
}

inline Status sample(const TensorView& token_ids, const TensorView& logits, const TensorView& params, const TensorView& random_state,
                     const TensorView& edit_ids, const TensorView& edit_values, const TensorView& surprise_limits, const TensorView& workspace,
                     const Parallel& parallel) {
  const int64_t num_rows = logits.shape[0];
  const int64_t vocabulary = logits.shape[1];
  if (num_rows == 0) return {};
  if (vocabulary == 0) return {"no logits to sample from", 0, 1};
  if (params.shape[1] != num_sampling_columns) return {"sampling parameters of another number of columns", params.shape[1], num_sampling_columns};
  const int64_t needed = sample_workspace_bytes(maximum(1, parallel.threads), vocabulary);
  const int64_t given = present(workspace) ? byte_length_of(workspace) : 0;
  if (given < needed) return {"sample's workspace is too small", given, needed};
  const Status status = check_edits(edit_ids, vocabulary);
  if (status.problem != nullptr) return status;
  NanRow nan_row;
  parallel_for(parallel, num_rows, 1, [&](int64_t first, int64_t last, int thread) {
    uint64_t* candidates = reinterpret_cast<uint64_t*>(workspace.data) + thread * vocabulary;
    for (int64_t r = first; r < last; r++) {
      const LogitEdits edits{row_of<const int32_t>(edit_ids, r), row_of<const float>(edit_values, r), edit_ids.shape[1]};
      if (!collect_candidates(candidates, row_of<const float>(logits, r), vocabulary, edits)) {
        nan_row.report(r);
        continue;
      }
      SamplingParams row;
      memcpy(&row, row_of<const float>(params, r), sizeof row);
      const int32_t* state = row_of<const int32_t>(random_state, r);
      *row_of<int32_t>(token_ids, r) = choose_token({candidates, vocabulary}, row, static_cast<uint32_t>(state[0]),
                                                    static_cast<uint32_t>(state[1]), *row_of<float>(surprise_limits, r));
    }
  });
  return nan_row.status(num_rows);
}

}  // namespace
}  // namespace thermocline::THERMOCLINE_ISA
