#include "calibrate_device.h"

#include <cuda_runtime_api.h>

#include "cuda_failure.h"
#include "measurements.h"

namespace thermocline::cuda {
namespace {

// After everything else, when all that was allocated is free again.
void measure_context(int device_index, size_t used_before, Calibration& calibration) {
  check(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
  const size_t used_after = used_device_bytes(device_index);
  if (used_before > 0 && used_after > used_before) {
    calibration.context_bytes = used_after - used_before;
    return;
  }
  size_t free_bytes = 0, total_bytes = 0;
  check(cudaMemGetInfo(&free_bytes, &total_bytes), "cudaMemGetInfo");
  calibration.context_bytes = total_bytes - free_bytes;
  calibration.context_is_upper_bound = true;
}

void measure_all(const CalibrationOptions& options, Calibration& calibration) {
  const int index = options.device_index;
  check(cudaRuntimeGetVersion(&calibration.runtime_version), "cudaRuntimeGetVersion");
  check(cudaDriverGetVersion(&calibration.driver_version), "cudaDriverGetVersion");
  int count = 0;
  check(cudaGetDeviceCount(&count), "cudaGetDeviceCount");
  if (index < 0 || index >= count)
    throw CudaFailure("there is no device " + std::to_string(index) + ", there are " + std::to_string(count));
  cudaDeviceProp properties;
  check(cudaGetDeviceProperties(&properties, index), "cudaGetDeviceProperties");
  calibration.device_name = properties.name;
  calibration.total_bytes = properties.totalGlobalMem;
  calibration.compute_major = properties.major;
  calibration.compute_minor = properties.minor;

  const size_t used_before = used_device_bytes(index);
  check(cudaSetDevice(index), "cudaSetDevice");
  const MeasuredDevice device{index, properties.multiProcessorCount, options.quick};
  measure_launches(device, calibration.figures);
  measure_transfers(device, calibration.figures);
  calibration.hand_over_method = measure_hand_overs(device, calibration.figures);
  measure_device_memory(device, calibration.figures);
  measure_tensor_cores(device, calibration.figures);
  measure_context(index, used_before, calibration);
}

}  // namespace

Calibration calibrate_device(const CalibrationOptions& options) {
  Calibration calibration;
  try {
    measure_all(options, calibration);
  } catch (const std::exception& failure) {
    calibration.problem = failure.what();
  }
  return calibration;
}

}  // namespace thermocline::cuda
