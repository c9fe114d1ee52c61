#include "thermocline/futex.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <climits>
#include <ctime>
#include <thread>

#if defined(__linux__)
#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace thermocline {
namespace {

void pause_core() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

int count_cores() {
#if defined(__linux__)
  cpu_set_t allowed;
  if (sched_getaffinity(0, sizeof allowed, &allowed) == 0) return CPU_COUNT(&allowed);
#endif
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

std::atomic<int> num_running_threads{0};

}  // namespace

void futex_wait(const void* word, uint32_t expected, int64_t timeout_ns) {
#if defined(__linux__)
  timespec timeout{static_cast<time_t>(timeout_ns / 1'000'000'000), static_cast<long>(timeout_ns % 1'000'000'000)};
  syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, expected, timeout_ns < 0 ? nullptr : &timeout, nullptr, 0);
#else
  if (__atomic_load_n(static_cast<const uint32_t*>(word), __ATOMIC_ACQUIRE) != expected) return;
  constexpr int64_t longest_nap_ns = 50'000;
  std::this_thread::sleep_for(std::chrono::nanoseconds(timeout_ns < 0 ? longest_nap_ns : std::min(timeout_ns, longest_nap_ns)));
#endif
}

void futex_wake(const void* word, int max_waiters) {
#if defined(__linux__)
  syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, max_waiters, nullptr, nullptr, 0);
#else
  (void)word;
  (void)max_waiters;
#endif
}

int64_t monotonic_ns() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<int64_t>(now.tv_sec) * 1'000'000'000 + now.tv_nsec;
}

bool SpinBudget::spend() {
  for (int i = 0; i < 4; i++) pause_core();
  return ++rounds_ % 8 != 0 || monotonic_ns() < deadline_ns_;
}

RunningThreads::RunningThreads(int count) : count_(count) { num_running_threads.fetch_add(count_, std::memory_order_relaxed); }

RunningThreads::~RunningThreads() { num_running_threads.fetch_sub(count_, std::memory_order_relaxed); }

bool RunningThreads::oversubscribed() {
  static const int num_cores = count_cores();
  return num_running_threads.load(std::memory_order_relaxed) > num_cores;
}

}  // namespace thermocline
