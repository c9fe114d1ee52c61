// Locally typical sampling (Meister et al. 2022): the candidates whose surprise is nearest the entropy.
#pragma once
#include "candidate_list.h"

namespace thermocline::THERMOCLINE_ISA {
namespace {

// Surprise -ln p ascends in candidate order, so its distance from the entropy falls and then rises, and the ascending order of distances is
// a walk outwards from between the two: no second sort, no memory.
struct Surprises {
  const CandidateList& list;
  double total = list.total_weight();
  double log_total = ::log(total);
  double entropy = entropy_of();

  double probability(int64_t i) const { return list.weight(i) / total; }
  double surprise(int64_t i) const { return log_total - below_best(list.logit(i), list.logit(0)); }
  double distance(int64_t i) const { return __builtin_fabs(surprise(i) - entropy); }

 private:
  double entropy_of() const {
    double sum = 0;
    for (int64_t i = 0; i < list.count; i++) {
      const double p = probability(i);
      if (p > 0) sum += p * surprise(i);
    }
    return sum;
  }
};

// Up to the first candidate, in ascending order of distance and of place, whose running sum of probabilities exceeds `mass`.
inline void keep_typical(CandidateList& list, double mass) {
  if (!(mass < 1)) return;
  const Surprises surprises{list};
  int64_t right = 0;
  while (right < list.count && surprises.surprise(right) < surprises.entropy) right++;
  int64_t left = right;  // [left, right) is kept
  double sum = 0;
  while (left > 0 || right < list.count) {
    if (left == 0 || (right < list.count && surprises.distance(right) < surprises.distance(left - 1))) {
      sum += surprises.probability(right++);
      if (sum > mass) break;
      continue;
    }
    // Equal distances on the left come in candidate order: the last one taken may lie before others that are not.
    int64_t first = left - 1;
    while (first > 0 && surprises.distance(first - 1) == surprises.distance(left - 1)) first--;
    int64_t taken = first;
    while (taken < left && !(sum > mass)) sum += surprises.probability(taken++);
    if (sum > mass) {
      memmove(list.candidates + taken, list.candidates + left, sizeof(uint64_t) * static_cast<size_t>(right - left));
      right -= left - taken;
      left = first;
      break;
    }
    left = first;
  }
  list.keep_range(left, right);
}

}  // namespace
}  // namespace thermocline::THERMOCLINE_ISA
