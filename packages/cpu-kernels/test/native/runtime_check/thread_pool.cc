// The pool: every item once, whatever the grain and the number of threads. The read bandwidth, which it measures.
#include "runtime_check.h"

#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <random>
#include <vector>

#include "thermocline/read_bandwidth.h"
#include "thermocline/thread_pool.h"

namespace thermocline::runtime_check {

void check_pool() {
  for (const int threads : {1, 2, 3, 8}) {
    ThreadPool pool(threads);
    std::mt19937 random(static_cast<uint32_t>(threads));
    std::vector<std::atomic<int>> seen(1000);
    for (int round = 0; round < 3000; round++) {
      const int64_t items = random() % 1000;
      const int64_t grain = 1 + random() % 50;
      struct Context {
        std::vector<std::atomic<int>>& seen;
        int64_t grain;
        int threads;
        std::atomic<bool> bad{false};
      } context{seen, grain, threads};
      for (int64_t i = 0; i < items; i++) seen[static_cast<size_t>(i)].store(0, std::memory_order_relaxed);
      pool.run(
          items, grain,
          [](void* pointer, int64_t first, int64_t last, int thread) {
            Context& c = *static_cast<Context*>(pointer);
            if (last - first > c.grain || first >= last || thread < 0 || thread >= c.threads) c.bad = true;
            for (int64_t i = first; i < last; i++) c.seen[static_cast<size_t>(i)].fetch_add(1, std::memory_order_relaxed);
          },
          &context);
      expect(!context.bad, "ranges are at most `grain` long and threads are numbered");
      for (int64_t i = 0; i < items; i++) expect(seen[static_cast<size_t>(i)].load(std::memory_order_relaxed) == 1, "every item runs once");
      // Long enough for the workers to fall asleep now and then.
      if (round % 500 == 0) usleep(300);
    }
  }
  std::puts("pool: every item once, 4 pool sizes, 3000 jobs each");
}

void check_read_bandwidth(const KernelTable& kernels) {
  for (const int threads : {1, 3}) {
    const auto measured = measure_read_bandwidth(kernels, threads, (size_t{3} << 20) + 64, 0);
    expect(measured && measured->num_passes == 3, "a measurement without a duration makes three passes");
    expect(measured->median_bytes_per_second > 0 && measured->best_bytes_per_second >= measured->median_bytes_per_second, "the best pass is no slower than the median");
  }
  expect(!measure_read_bandwidth(kernels, 1, size_t{1} << 60, 0), "memory that there is not is not measured");
  std::printf("read bandwidth (%s): three passes, best and median\n", kernels.isa);
}

}  // namespace thermocline::runtime_check
