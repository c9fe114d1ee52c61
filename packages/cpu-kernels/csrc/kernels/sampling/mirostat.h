// Mirostat 2 (Basu et al. 2021): a limit of surprise that follows a target.
#pragma once
#include "candidate_list.h"

namespace thermocline::THERMOCLINE_ISA {
namespace {

// Candidates whose surprise -log2(p) at `temperature` is at most `limit` bits, and the first in any case.
inline void keep_unsurprising(CandidateList& list, double temperature, double limit) {
  const double total = list.total_weight(temperature);
  int64_t kept = 1;
  while (kept < list.count && !(-::log2(list.weight(kept, temperature) / total) > limit)) kept++;
  list.count = kept;
}

// `share`: the probability of the drawn token among those that were kept.
inline double next_surprise_limit(double limit, double share, double tau, double eta) { return limit - eta * (-::log2(share) - tau); }

}  // namespace
}  // namespace thermocline::THERMOCLINE_ISA
