// One line an op.
#include "kernel_check.h"

#include <algorithm>
#include <cmath>
#include <cstdarg>
#include <cstdio>
#include <string>

namespace thermocline::kernel_check {
namespace {

int num_failures = 0;
std::string current_op;
int failures_of_op = 0;
int64_t checks_of_op = 0;
double worst_of_op = 0;

}  // namespace

void check(bool holds, const char* format, ...) {
  checks_of_op++;
  if (holds) return;
  if (++failures_of_op > 5) return;
  va_list arguments;
  va_start(arguments, format);
  printf("  FAILED %s: ", current_op.c_str());
  vprintf(format, arguments);
  printf("\n");
  va_end(arguments);
}

void check_near(double actual, double expected, double bound, const char* isa, const char* what, int64_t index) {
  const bool same = actual == expected || (std::isnan(actual) && std::isnan(expected));
  const double error = std::fabs(actual - expected);
  if (!same && bound > 0) worst_of_op = std::max(worst_of_op, error / bound);
  check(same || error <= bound, "%s %s [%lld]: %.9g, expected %.9g ± %.3g", isa, what, static_cast<long long>(index), actual, expected, bound);
}

void begin_op(const char* name) {
  current_op = name;
  failures_of_op = 0;
  checks_of_op = 0;
  worst_of_op = 0;
}

void end_op() {
  printf("%-14s %9lld checks, at most %3.0f %% of the bound, %s\n", current_op.c_str(), static_cast<long long>(checks_of_op), 100 * worst_of_op,
         failures_of_op == 0 ? "ok" : "FAILED");
  num_failures += failures_of_op;
}

int failures() { return num_failures; }

}  // namespace thermocline::kernel_check
