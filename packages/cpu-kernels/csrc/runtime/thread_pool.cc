#include "thermocline/thread_pool.h"

#include <algorithm>
#include <climits>
#include <system_error>

#include "thermocline/futex.h"

namespace thermocline {
namespace {

// Between two kernels of a list lie a few microseconds; a thread that sleeps takes tens of microseconds to wake.
int64_t spin_ns() { return RunningThreads::oversubscribed() ? 2'000 : 30'000; }

}  // namespace

ThreadPool::ThreadPool(int threads) {
  parallel_ = {this, threads, [](void* pool, int64_t items, int64_t grain, Parallel::Body body, void* context) {
                 static_cast<ThreadPool*>(pool)->run(items, grain, body, context);
               }};
  try {
    workers_.reserve(static_cast<size_t>(threads - 1));
    for (int thread = 1; thread < threads; thread++) workers_.emplace_back([this, thread] { work(thread); });
  } catch (...) {
    stop_workers();
    throw;
  }
}

ThreadPool::~ThreadPool() { stop_workers(); }

void ThreadPool::stop_workers() {
  stopping_.store(true);
  generation_.fetch_add(1);
  futex_wake(&generation_, INT_MAX);
  for (std::thread& worker : workers_) worker.join();
  workers_.clear();
}

void ThreadPool::run(int64_t items, int64_t grain, Parallel::Body body, void* context) {
  if (items <= 0) return;
  grain = std::max<int64_t>(1, grain);
  if (workers_.empty() || items <= grain) {
    for (int64_t first = 0; first < items; first += grain) body(context, first, std::min(items, first + grain), 0);
    return;
  }
  items_ = items;
  grain_ = grain;
  body_ = body;
  context_ = context;
  cursor_.store(0, std::memory_order_relaxed);
  gate_.store(0);
  generation_.fetch_add(1);
  // Pairs with the worker's num_sleepers_ and generation_, both sequentially consistent: either the worker is seen here, or it sees the
  // new generation and does not sleep.
  if (num_sleepers_.load() > 0) {
    const int64_t num_ranges = (items + grain - 1) / grain;
    futex_wake(&generation_, static_cast<int>(std::min<int64_t>(num_ranges - 1, INT_MAX)));
  }
  take_ranges(0);

  uint32_t inside = gate_.fetch_or(closed_bit);
  SpinBudget budget(spin_ns());
  while ((inside & ~closed_bit) != 0 && budget.spend()) inside = gate_.load();
  if ((inside & ~closed_bit) != 0) {
    caller_sleeps_.store(1);
    while (((inside = gate_.load()) & ~closed_bit) != 0) futex_wait(&gate_, inside, -1);
    caller_sleeps_.store(0);
  }
}

void ThreadPool::take_ranges(int thread) {
  while (true) {
    const int64_t first = cursor_.fetch_add(grain_, std::memory_order_relaxed);
    if (first >= items_) return;
    body_(context_, first, std::min(items_, first + grain_), thread);
  }
}

void ThreadPool::work(int thread) {
  while (true) {
    const uint32_t seen = generation_.load();
    if (stopping_.load()) return;
    uint32_t inside = gate_.load();
    while ((inside & closed_bit) == 0) {
      if (!gate_.compare_exchange_weak(inside, inside + 1)) continue;
      take_ranges(thread);
      if (gate_.fetch_sub(1) - 1 == closed_bit && caller_sleeps_.load() != 0) futex_wake(&gate_, 1);
      break;
    }
    SpinBudget budget(spin_ns());
    bool changed = false;
    while (!(changed = generation_.load() != seen) && budget.spend()) {
    }
    if (changed) continue;
    num_sleepers_.fetch_add(1);
    while (generation_.load() == seen) futex_wait(&generation_, seen, -1);
    num_sleepers_.fetch_sub(1);
  }
}

}  // namespace thermocline
