// Exclude top choices.
#pragma once
#include "candidate_list.h"

namespace thermocline::THERMOCLINE_ISA {
namespace {

// Of the candidates with a probability of at least `threshold` the last stays, with all that are less likely.
inline void exclude_top_choices(CandidateList& list, double threshold) {
  const double total = list.total_weight();
  int64_t num_top_choices = 0;
  while (num_top_choices < list.count && list.weight(num_top_choices) / total >= threshold) num_top_choices++;
  if (num_top_choices > 1) list.keep_range(num_top_choices - 1, list.count);
}

}  // namespace
}  // namespace thermocline::THERMOCLINE_ISA
