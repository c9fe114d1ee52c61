#include "thermocline/read_bandwidth.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <memory>
#include <vector>

#include "thermocline/buffer.h"
#include "thermocline/futex.h"
#include "thermocline/thread_pool.h"

namespace thermocline {
namespace {

constexpr int64_t line_bytes = 64;
// A range that a thread takes at once: long enough that taking it costs nothing, short enough that all threads end together.
constexpr int64_t range_lines = (int64_t{1} << 20) / line_bytes;
constexpr size_t min_passes = 3;

struct Memory {
  const KernelTable& kernels;
  std::byte* bytes;
  std::atomic<uint32_t> bits{0};
};

void read_lines(void* context, int64_t first, int64_t last, int) {
  Memory& memory = *static_cast<Memory*>(context);
  memory.bits.fetch_or(memory.kernels.read_memory(memory.bytes + first * line_bytes, last - first), std::memory_order_relaxed);
}

// Memory that nobody has written is one page of zeros, which every cache holds.
void write_lines(void* context, int64_t first, int64_t last, int) {
  std::memset(static_cast<Memory*>(context)->bytes + first * line_bytes, 1, static_cast<size_t>((last - first) * line_bytes));
}

}  // namespace

std::optional<ReadBandwidth> measure_read_bandwidth(const KernelTable& kernels, int threads, size_t byte_length, double duration_ms) {
  const std::shared_ptr<Buffer> buffer = Buffer::allocate(byte_length, nullptr);
  if (buffer == nullptr) return std::nullopt;
  ThreadPool pool(threads);
  const RunningThreads running(threads);
  Memory memory{kernels, buffer->data()};
  const int64_t num_lines = static_cast<int64_t>(byte_length) / line_bytes;
  pool.run(num_lines, range_lines, write_lines, &memory);
  std::vector<double> rates;
  const int64_t begin = monotonic_ns();
  const double duration_ns = duration_ms * 1e6;
  for (int64_t now = begin; rates.size() < min_passes || static_cast<double>(now - begin) < duration_ns;) {
    pool.run(num_lines, range_lines, read_lines, &memory);
    const int64_t end = monotonic_ns();
    rates.push_back(static_cast<double>(num_lines * line_bytes) * 1e9 / static_cast<double>(std::max<int64_t>(1, end - now)));
    now = end;
  }
  std::sort(rates.begin(), rates.end());
  const size_t middle = rates.size() / 2;
  const double median = rates.size() % 2 == 1 ? rates[middle] : (rates[middle - 1] + rates[middle]) / 2;
  return ReadBandwidth{rates.back(), median, static_cast<int64_t>(rates.size())};
}

}  // namespace thermocline
