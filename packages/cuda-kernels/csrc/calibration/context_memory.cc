// What a device's memory is used for before this process has a context: only the management library tells, which comes with the driver and is
// looked up when it is asked.
#include <cuda_runtime_api.h>

#include <cstddef>

#include "measurements.h"

#ifndef _WIN32
#include <dlfcn.h>
#endif

namespace thermocline::cuda {

#ifdef _WIN32

size_t used_device_bytes(int) { return 0; }

#else

namespace {

// Of nvml.h, version 2 of its symbols.
struct ManagementMemory {
  unsigned long long total;
  unsigned long long free;
  unsigned long long used;
};
using ManagementDevice = void*;

}  // namespace

size_t used_device_bytes(int device_index) {
  char bus_id[32] = {};
  if (cudaDeviceGetPCIBusId(bus_id, sizeof bus_id, device_index) != cudaSuccess) return 0;
  void* const library = dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return 0;
  const auto initialize = reinterpret_cast<int (*)()>(dlsym(library, "nvmlInit_v2"));
  const auto shut_down = reinterpret_cast<int (*)()>(dlsym(library, "nvmlShutdown"));
  const auto find = reinterpret_cast<int (*)(const char*, ManagementDevice*)>(dlsym(library, "nvmlDeviceGetHandleByPciBusId_v2"));
  const auto ask = reinterpret_cast<int (*)(ManagementDevice, ManagementMemory*)>(dlsym(library, "nvmlDeviceGetMemoryInfo"));
  size_t used = 0;
  if (initialize != nullptr && shut_down != nullptr && find != nullptr && ask != nullptr && initialize() == 0) {
    ManagementDevice device = nullptr;
    ManagementMemory memory{};
    if (find(bus_id, &device) == 0 && ask(device, &memory) == 0) used = static_cast<size_t>(memory.used);
    shut_down();
  }
  dlclose(library);
  return used;
}

#endif

}  // namespace thermocline::cuda
