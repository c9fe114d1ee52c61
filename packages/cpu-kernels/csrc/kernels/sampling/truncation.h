// The steps of sampling that keep the first candidates: top-n-sigma, top-k, top-p, min-p. Each leaves at least one.
#pragma once
#include "candidate_list.h"

namespace thermocline::THERMOCLINE_ISA {
namespace {

// Logits within `num_sigmas` standard deviations of the finite logits below the largest, which is finite. Takes and leaves ascending ids.
inline void keep_within_sigmas(CandidateList& list, float best, double num_sigmas) {
  if (!(num_sigmas > 0)) return;
  double sum = 0;
  int64_t num_finite = 0;
  for (int64_t i = 0; i < list.count; i++) {
    if (is_infinite(list.logit(i))) continue;
    sum += static_cast<double>(list.logit(i));
    num_finite++;
  }
  const double mean = sum / static_cast<double>(num_finite);
  double squares = 0;
  for (int64_t i = 0; i < list.count; i++) {
    if (is_infinite(list.logit(i))) continue;
    const double distance = static_cast<double>(list.logit(i)) - mean;
    squares += distance * distance;
  }
  const double lowest = static_cast<double>(best) - num_sigmas * __builtin_sqrt(squares / static_cast<double>(num_finite));
  int64_t kept = 0;
  for (int64_t i = 0; i < list.count; i++)
    if (static_cast<double>(list.logit(i)) >= lowest) list.candidates[kept++] = list.candidates[i];
  list.count = kept;
}

// The first k in candidate order, into which it sorts; 0: all of them.
inline void keep_top_k(CandidateList& list, float k) {
  const bool all = !(k >= 1.0f) || k >= static_cast<float>(list.count);
  const int64_t kept = all ? list.count : static_cast<int64_t>(k);
  // A heap of k costs about log k a candidate that enters it; past an eighth of the candidates sorting everything is no slower.
  if (kept <= list.count / 8) select_best(list.candidates, list.count, kept);
  else sort_candidates(list.candidates, list.count);
  list.count = kept;
}

// The shortest prefix whose probability reaches `mass`.
inline void keep_nucleus(CandidateList& list, double mass) {
  if (!(mass < 1)) return;
  const double total = list.total_weight();
  double sum = 0;
  for (int64_t i = 0; i < list.count; i++) {
    sum += list.weight(i) / total;
    if (sum >= mass) return list.keep_range(0, i + 1);
  }
}

// Those at least `share` times as likely as the first.
inline void keep_likely(CandidateList& list, double share) {
  if (!(share > 0)) return;
  while (list.count > 1 && list.weight(list.count - 1) < share) list.count--;
}

}  // namespace
}  // namespace thermocline::THERMOCLINE_ISA
