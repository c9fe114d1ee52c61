// Sleeping on a 32-bit word, and spinning before that.
#pragma once
#include <cstdint>

namespace thermocline {

// Sleeps while *word == expected, at most timeout_ns (negative: without limit). May return early; callers check their condition again.
// The word is read atomically.
void futex_wait(const void* word, uint32_t expected, int64_t timeout_ns);
void futex_wake(const void* word, int max_waiters);

// CLOCK_MONOTONIC, the clock of process.hrtime().
int64_t monotonic_ns();

// A busy wait with an end: `while (!ready() && budget.spend()) {}`.
class SpinBudget {
 public:
  explicit SpinBudget(int64_t budget_ns) : deadline_ns_(budget_ns > 0 ? monotonic_ns() + budget_ns : 0) {}
  // Pauses the core for about 0.1 µs or more; false once the budget is used up.
  bool spend();

 private:
  int64_t deadline_ns_;
  uint32_t rounds_ = 0;
};

// Threads that run lists right now, in the whole process. While there are more of them than cores, spinning takes the core away from the
// thread that is waited for.
class RunningThreads {
 public:
  explicit RunningThreads(int count);
  ~RunningThreads();
  RunningThreads(const RunningThreads&) = delete;
  RunningThreads& operator=(const RunningThreads&) = delete;
  static bool oversubscribed();

 private:
  int count_;
};

}  // namespace thermocline
