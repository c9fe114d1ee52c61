// One function for each family of figures; each appends to `figures` and throws CudaFailure. The device is current.
#pragma once
#include <cstddef>
#include <string>
#include <vector>

#include "figure.h"

namespace thermocline::cuda {

struct MeasuredDevice {
  int index;
  int multiprocessors;
  bool quick;
  int samples() const { return quick ? 2 : 9; }
};

// deviceReadBytesPerSecond; deviceCopyBytesPerSecond, which counts bytes read and bytes written.
void measure_device_memory(const MeasuredDevice& device, std::vector<Figure>& figures);

// hostToDevice… and deviceToHost…: BytesPerSecond of large pinned copies, CopySeconds of one of 8 KiB in a row of them.
void measure_transfers(const MeasuredDevice& device, std::vector<Figure>& figures);

// launchSeconds of one of many dependent small kernels, graphNodeSeconds the same from a graph, launchAndWaitSeconds until the host knows.
void measure_launches(const MeasuredDevice& device, std::vector<Figure>& figures);

// signalRoundTripSeconds host → device → host; handOverRoundTripSeconds with 16 KiB copied over and back, and a kernel between.
// Returns the method: "stream-memory-operations" or "polling-kernel".
std::string measure_hand_overs(const MeasuredDevice& device, std::vector<Figure>& figures);

// f16OperationsPerSecond and int8OperationsPerSecond of warp-wide matrix products from registers.
void measure_tensor_cores(const MeasuredDevice& device, std::vector<Figure>& figures);

// Bytes that all processes use of a device; 0 where the management library does not tell. Makes no context.
size_t used_device_bytes(int device_index);

}  // namespace thermocline::cuda
