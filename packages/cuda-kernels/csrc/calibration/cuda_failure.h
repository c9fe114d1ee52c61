#pragma once
#include <cuda_runtime_api.h>

#include <stdexcept>
#include <string>

namespace thermocline::cuda {

// A CUDA call that failed, in CUDA's own words. Thrown inside this folder only: what it exports answers with a text.
class CudaFailure : public std::runtime_error {
 public:
  CudaFailure(const std::string& call, cudaError_t error)
      : std::runtime_error(call + ": " + cudaGetErrorName(error) + ": " + cudaGetErrorString(error)) {}
  explicit CudaFailure(const std::string& problem) : std::runtime_error(problem) {}
};

inline void check(cudaError_t error, const char* call) {
  if (error != cudaSuccess) throw CudaFailure(call, error);
}

// The launch just before: its own parameters, and what earlier work left behind.
inline void check_launch(const char* kernel) { check(cudaGetLastError(), kernel); }

}  // namespace thermocline::cuda
