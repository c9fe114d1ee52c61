#include "thermocline/step_signal.h"

#include <climits>

#include "thermocline/futex.h"

namespace thermocline {
namespace {

// Counters are shared with JavaScript's Atomics, so they are plain integers here and every access is an atomic builtin.
int32_t load(const int32_t* value) { return __atomic_load_n(value, __ATOMIC_SEQ_CST); }
bool exchange(int32_t* value, int32_t& expected, int32_t desired) {
  return __atomic_compare_exchange_n(value, &expected, desired, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

int64_t magnitude(int32_t value) { return value < 0 ? -static_cast<int64_t>(value) : value; }

// Native waiters that sleep, in the whole process: without any, a signal needs no system call. A signaller that misses one costs it a nap.
std::atomic<int> num_sleeping_waiters{0};

// JavaScript signallers wake no futex, and neither does a cancellation: a waiter looks again after each nap.
constexpr int64_t nap_ns = 50'000;
// Another device's part of a layer, or the attention before it, takes some hundred microseconds; waking from a nap takes up to a hundred.
constexpr int64_t spin_ns = 300'000;

void wake_waiters(const int32_t* value) {
  if (num_sleeping_waiters.load() > 0) futex_wake(value, INT_MAX);
}

}  // namespace

void raise_signal(int32_t* value, int32_t step) {
  int32_t current = load(value);
  while (magnitude(current) < step) {
    if (exchange(value, current, step)) {
      wake_waiters(value);
      return;
    }
  }
}

void poison_signal(int32_t* value, int32_t step) {
  int32_t current = load(value);
  while (magnitude(current) < step || current == step) {
    if (exchange(value, current, -step)) {
      wake_waiters(value);
      return;
    }
  }
}

WaitOutcome wait_for_signal(int32_t* value, int32_t step, const std::atomic<bool>& cancelled) {
  SpinBudget budget(RunningThreads::oversubscribed() ? 0 : spin_ns);
  bool spinning = true;
  while (true) {
    const int32_t current = load(value);
    if (current >= step) return WaitOutcome::passed;
    if (current <= -step) return WaitOutcome::poisoned;
    if (cancelled.load()) return WaitOutcome::cancelled;
    if (spinning) {
      spinning = budget.spend();
      continue;
    }
    num_sleeping_waiters.fetch_add(1);
    futex_wait(value, static_cast<uint32_t>(current), nap_ns);
    num_sleeping_waiters.fetch_sub(1);
  }
}

}  // namespace thermocline
