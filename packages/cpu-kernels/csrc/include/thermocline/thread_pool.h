// The threads of one backend. The caller of `run` is thread 0 and works too.
#pragma once
#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

#include "thermocline/kernel_table.h"

namespace thermocline {

class ThreadPool {
 public:
  // Starts threads - 1 workers. Throws std::system_error where the system refuses a thread; none is left behind then.
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  // One call at a time, never from inside a body. Ranges are taken dynamically; a single range, or a single thread, runs on the caller
  // without waking anybody.
  void run(int64_t items, int64_t grain, Parallel::Body body, void* context);

  // What kernels get. Valid as long as the pool.
  const Parallel& parallel() const { return parallel_; }

 private:
  void work(int thread);
  void take_ranges(int thread);
  void stop_workers();

  // The job. Written while the gate is closed and nobody is inside, so that members read it without further care.
  int64_t items_ = 0;
  int64_t grain_ = 1;
  Parallel::Body body_ = nullptr;
  void* context_ = nullptr;
  alignas(64) std::atomic<int64_t> cursor_{0};

  // Workers inside the job, and whether it takes more. A worker that wakes too late finds the gate closed and sleeps on, so a job never
  // waits for a thread that did not start on it.
  static constexpr uint32_t closed_bit = 0x80000000u;
  alignas(64) std::atomic<uint32_t> gate_{closed_bit};
  std::atomic<uint32_t> caller_sleeps_{0};

  // Grows with every job; workers sleep on it.
  alignas(64) std::atomic<uint32_t> generation_{0};
  std::atomic<uint32_t> num_sleepers_{0};
  std::atomic<bool> stopping_{false};

  Parallel parallel_;
  std::vector<std::thread> workers_;
};

}  // namespace thermocline
