// The tokens that may still be drawn, and their probabilities: f64 with libm's exp, taken in the order of the candidates, so that a row's
// token depends on that row alone and is the same in every instruction set.
#pragma once
#include <math.h>

#include "../candidates.h"

namespace thermocline::THERMOCLINE_ISA {
namespace {

// At least one candidate. In candidate order from `sort` or `keep_top_k` on, in ascending order of ids before.
struct CandidateList {
  uint64_t* candidates;
  int64_t count;

  float logit(int64_t i) const { return logit_of(candidates[i]); }
  // What probabilities are proportional to: e^((l - l_first) / temperature). Needs candidate order.
  double weight(int64_t i, double temperature = 1) const { return ::exp(below_best(logit(i), logit(0)) / temperature); }
  double total_weight(double temperature = 1) const {
    double total = 0;
    for (int64_t i = 0; i < count; i++) total += weight(i, temperature);
    return total;
  }
  void keep_range(int64_t first, int64_t end) {
    candidates += first;
    count = end - first;
  }
};

}  // namespace
}  // namespace thermocline::THERMOCLINE_ISA
