#include <cuda_fp16.h>
#include <cuda_runtime.h>
#include <mma.h>

#include <cstdint>

#include "device_resources.h"
#include "measurements.h"

namespace thermocline::cuda {
namespace {

constexpr int tile = 16;
constexpr int warps_per_block = 8;
constexpr int blocks_per_multiprocessor = 2;
// Accumulators of a warp that do not wait for one another.
constexpr int accumulators = 4;

// out[block · warps_per_block + warp] = one element of the warp's accumulators, summed: rounds · tile · accumulators for factors of 1.
// Launch <<<any, 32 · warps_per_block>>>. Everything stays in registers, so the matrix units alone are measured.
template <typename Factor, typename Sum>
__global__ void multiply_ones(Sum* out, int rounds) {
#if __CUDA_ARCH__ >= 720
  namespace wmma = nvcuda::wmma;
  wmma::fragment<wmma::matrix_a, tile, tile, tile, Factor, wmma::row_major> a;
  wmma::fragment<wmma::matrix_b, tile, tile, tile, Factor, wmma::col_major> b;
  wmma::fragment<wmma::accumulator, tile, tile, tile, Sum> sums[accumulators];
  wmma::fill_fragment(a, static_cast<Factor>(1));
  wmma::fill_fragment(b, static_cast<Factor>(1));
#pragma unroll
  for (int i = 0; i < accumulators; i++) wmma::fill_fragment(sums[i], static_cast<Sum>(0));
  for (int round = 0; round < rounds; round++) {
#pragma unroll
    for (int i = 0; i < accumulators; i++) wmma::mma_sync(sums[i], a, b, sums[i]);
  }
  Sum sum = 0;
#pragma unroll
  for (int i = 0; i < accumulators; i++) sum += sums[i].x[0];
  if (threadIdx.x % 32 == 0) out[blockIdx.x * warps_per_block + threadIdx.x / 32] = sum;
#endif
}

template <typename Factor, typename Sum>
void measure(const MeasuredDevice& device, const char* quantity, std::vector<Figure>& figures) {
  // Sums stay below 2^24, where every whole number is a float.
  const int rounds = device.quick ? 64 : 16384;
  const int blocks = device.multiprocessors * blocks_per_multiprocessor;
  const int warps = blocks * warps_per_block;
  const Stream stream;
  const DeviceMemory out(warps * sizeof(Sum));
  const double operations = 2.0 * tile * tile * tile * accumulators * rounds * warps;
  figures.push_back(measure_figure(quantity, device.samples(), [&] {
    const double seconds = seconds_on_device(stream, [&] {
      multiply_ones<Factor, Sum><<<blocks, 32 * warps_per_block, 0, stream>>>(out.as<Sum>(), rounds);
      check_launch("multiply_ones");
    });
    return operations / seconds;
  }));
  std::vector<Sum> sums(warps);
  check(cudaMemcpy(sums.data(), out.as<Sum>(), warps * sizeof(Sum), cudaMemcpyDeviceToHost), "cudaMemcpy");
  for (const Sum sum : sums)
    if (sum != static_cast<Sum>(rounds * tile * accumulators))
      throw CudaFailure(std::string(quantity) + ": a product came out as " + std::to_string(sum));
}

}  // namespace

void measure_tensor_cores(const MeasuredDevice& device, std::vector<Figure>& figures) {
  measure<__half, float>(device, "f16OperationsPerSecond", figures);
  measure<signed char, int>(device, "int8OperationsPerSecond", figures);
}

}  // namespace thermocline::cuda
