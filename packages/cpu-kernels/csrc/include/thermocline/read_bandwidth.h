// How fast this machine's threads read memory: the roof under which decoding, which reads every active weight once a token, lies.
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>

#include "thermocline/kernel_table.h"

namespace thermocline {

struct ReadBandwidth {
  double best_bytes_per_second;
  double median_bytes_per_second;
  int64_t num_passes;
};

// Reads `byte_length` bytes, a multiple of 64, again and again for about `duration_ms`, three times at least, on `threads` threads, the
// caller's among them, with the widest loads of the kernels' instruction set. Empty where the system has no memory of that size; throws std::system_error where it refuses a thread.
std::optional<ReadBandwidth> measure_read_bandwidth(const KernelTable& kernels, int threads, size_t byte_length, double duration_ms);

}  // namespace thermocline
