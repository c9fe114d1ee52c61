#include "device_probe.h"

#include <cuda_runtime_api.h>

namespace thermocline::cuda {

Probe probe_devices() {
  Probe probe{};
  if (cudaRuntimeGetVersion(&probe.runtime_version) != cudaSuccess) probe.runtime_version = 0;
  if (cudaDriverGetVersion(&probe.driver_version) != cudaSuccess) probe.driver_version = 0;

  int count = 0;
  const cudaError_t counted = cudaGetDeviceCount(&count);
  if (counted != cudaSuccess) {
    probe.reason = std::string(cudaGetErrorName(counted)) + ": " + cudaGetErrorString(counted);
    return probe;
  }
  for (int index = 0; index < count; ++index) {
    cudaDeviceProp properties;
    const cudaError_t read = cudaGetDeviceProperties(&properties, index);
    if (read != cudaSuccess) {
      probe.devices.clear();
      probe.reason = "device " + std::to_string(index) + ": " + cudaGetErrorName(read) + ": " + cudaGetErrorString(read);
      return probe;
    }
    probe.devices.push_back({properties.name, properties.totalGlobalMem, properties.major, properties.minor, properties.multiProcessorCount});
  }
  if (probe.devices.empty()) probe.reason = "the driver lists no device";
  return probe;
}

}  // namespace thermocline::cuda
