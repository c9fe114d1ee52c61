#pragma once
#include <cstddef>
#include <string>
#include <vector>

namespace thermocline::cuda {

struct Device {
  std::string name;
  size_t total_bytes;
  int compute_major;
  int compute_minor;
  int multiprocessors;
};

struct Probe {
  std::vector<Device> devices;
  // 1000 · major + 10 · minor, as CUDA counts; 0 where there is no driver.
  int driver_version;
  int runtime_version;
  // Why `devices` is empty; empty where it is not.
  std::string reason;
};

// Creates no context on any device, so it takes no device memory.
Probe probe_devices();

}  // namespace thermocline::cuda
