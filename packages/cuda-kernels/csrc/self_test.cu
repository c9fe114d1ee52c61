#include "self_test.h"

#include <cuda_runtime.h>

namespace thermocline::cuda {
namespace {

constexpr uint32_t count = 1 << 16;
constexpr int threads_per_block = 256;
constexpr int blocks = 64;

// total += sum over i < count of i · (count - i). Launch <<<any, multiple of 32>>>. Grid-stride loop, then a shuffle tree in each
// warp and one atomic a warp; integers, so that the order of the atomics does not show.
__global__ void sum_products(unsigned long long* total) {
  unsigned long long sum = 0;
  for (uint32_t i = blockIdx.x * blockDim.x + threadIdx.x; i < count; i += gridDim.x * blockDim.x)
    sum += static_cast<unsigned long long>(i) * (count - i);
  for (int offset = 16; offset > 0; offset /= 2) sum += __shfl_down_sync(0xffffffffu, sum, offset);
  if (threadIdx.x % 32 == 0) atomicAdd(total, sum);
}

std::string describe(const char* call, cudaError_t error) {
  return std::string(call) + ": " + cudaGetErrorName(error) + ": " + cudaGetErrorString(error);
}

}  // namespace

SelfTest run_self_test(int device_index) {
  // sum of i·(n - i) for i < n is (n³ - n) / 6.
  constexpr uint64_t n = count;
  SelfTest result{(n * n * n - n) / 6, 0, {}};
  if (const cudaError_t error = cudaSetDevice(device_index); error != cudaSuccess) {
    result.problem = describe("cudaSetDevice", error);
    return result;
  }
  unsigned long long* total = nullptr;
  if (const cudaError_t error = cudaMalloc(&total, sizeof *total); error != cudaSuccess) {
    result.problem = describe("cudaMalloc", error);
    return result;
  }
  unsigned long long actual = 0;
  cudaError_t error = cudaMemset(total, 0, sizeof *total);
  if (error == cudaSuccess) {
    sum_products<<<blocks, threads_per_block>>>(total);
    error = cudaGetLastError();
  }
  if (error == cudaSuccess) error = cudaMemcpy(&actual, total, sizeof actual, cudaMemcpyDeviceToHost);
  if (error != cudaSuccess) result.problem = describe("sum_products", error);
  cudaFree(total);
  result.actual = actual;
  return result;
}

}  // namespace thermocline::cuda
