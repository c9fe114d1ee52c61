#include <cuda_runtime.h>

#include <algorithm>
#include <cstdint>

#include "device_resources.h"
#include "measurements.h"

namespace thermocline::cuda {
namespace {

constexpr int threads_per_block = 256;
constexpr int blocks_per_multiprocessor = 8;
// Independent loads of a thread that are under way at once: 64 KiB and more on each multiprocessor.
constexpr int loads_at_once = 4;

// words[i] = i. Grid-stride; any launch.
__global__ void fill_with_indices(uint32_t* words, size_t count) {
  const size_t stride = static_cast<size_t>(gridDim.x) * blockDim.x;
  for (size_t i = static_cast<size_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < count; i += stride) words[i] = static_cast<uint32_t>(i);
}

// total += sum of all words, of quads of four. Launch <<<any, multiple of 32>>>; quads 16-byte aligned. Grid-stride with `loads_at_once`
// 16-byte loads in flight; then a shuffle tree in each warp and one atomic a warp.
__global__ void sum_words(const uint4* quads, size_t count, unsigned long long* total) {
  const size_t stride = static_cast<size_t>(gridDim.x) * blockDim.x;
  unsigned long long sum = 0;
  size_t i = static_cast<size_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  for (; i + (loads_at_once - 1) * stride < count; i += loads_at_once * stride) {
    uint4 loaded[loads_at_once];
#pragma unroll
    for (int load = 0; load < loads_at_once; load++) loaded[load] = quads[i + load * stride];
#pragma unroll
    for (int load = 0; load < loads_at_once; load++) {
      const uint4 quad = loaded[load];
      sum += static_cast<unsigned long long>(quad.x) + quad.y + quad.z + quad.w;
    }
  }
  for (; i < count; i += stride) {
    const uint4 quad = quads[i];
    sum += static_cast<unsigned long long>(quad.x) + quad.y + quad.z + quad.w;
  }
  for (int offset = 16; offset > 0; offset /= 2) sum += __shfl_down_sync(0xffffffffu, sum, offset);
  if (threadIdx.x % 32 == 0) atomicAdd(total, sum);
}

// Far above every second-level cache, at most half of what is free.
size_t streamed_bytes(const MeasuredDevice& device) {
  size_t free_bytes = 0, total_bytes = 0;
  check(cudaMemGetInfo(&free_bytes, &total_bytes), "cudaMemGetInfo");
  const size_t wanted = device.quick ? size_t{8} << 20 : size_t{4} << 30;
  const size_t granted = std::min(wanted, free_bytes / 2);
  return granted - granted % (size_t{2} << 20);
}

}  // namespace

void measure_device_memory(const MeasuredDevice& device, std::vector<Figure>& figures) {
  const Stream stream;
  const DeviceMemory memory(streamed_bytes(device));
  const DeviceMemory total(sizeof(unsigned long long));
  const int blocks = device.multiprocessors * blocks_per_multiprocessor;
  const uint64_t words = memory.byte_length() / sizeof(uint32_t);
  fill_with_indices<<<blocks, threads_per_block, 0, stream>>>(memory.as<uint32_t>(), words);
  check_launch("fill_with_indices");

  // Indices stay below 2^32, so the sum of all is exact.
  const uint64_t expected = words / 2 * (words - 1);
  figures.push_back(measure_figure("deviceReadBytesPerSecond", device.samples(), [&] {
    check(cudaMemsetAsync(total.as<void>(), 0, sizeof(unsigned long long), stream), "cudaMemsetAsync");
    const double seconds = seconds_on_device(stream, [&] {
      sum_words<<<blocks, threads_per_block, 0, stream>>>(memory.as<uint4>(), words / 4, total.as<unsigned long long>());
      check_launch("sum_words");
    });
    unsigned long long actual = 0;
    check(cudaMemcpy(&actual, total.as<void>(), sizeof actual, cudaMemcpyDeviceToHost), "cudaMemcpy");
    if (actual != expected)
      throw CudaFailure("sum_words read " + std::to_string(actual) + ", " + std::to_string(expected) + " is right");
    return static_cast<double>(memory.byte_length()) / seconds;
  }));

  const size_t half = memory.byte_length() / 2;
  figures.push_back(measure_figure("deviceCopyBytesPerSecond", device.samples(), [&] {
    const double seconds = seconds_on_device(stream, [&] {
      check(cudaMemcpyAsync(memory.as<char>() + half, memory.as<char>(), half, cudaMemcpyDeviceToDevice, stream), "cudaMemcpyAsync");
    });
    return 2 * static_cast<double>(half) / seconds;
  }));
  uint32_t last = 0;
  check(cudaMemcpy(&last, memory.as<uint32_t>() + words - 1, sizeof last, cudaMemcpyDeviceToHost), "cudaMemcpy");
  if (last != words / 2 - 1) throw CudaFailure("a copy on the device ends with " + std::to_string(last));
}

}  // namespace thermocline::cuda
