#pragma once
#include <cstdint>
#include <string>

namespace thermocline::cuda {

struct SelfTest {
  uint64_t expected;
  uint64_t actual;
  // The CUDA call that failed and why; empty where every call succeeded.
  std::string problem;
};

// Runs one reduction on a device and compares it with its closed form: shows that this build's code runs there. Blocks.
SelfTest run_self_test(int device_index);

}  // namespace thermocline::cuda
