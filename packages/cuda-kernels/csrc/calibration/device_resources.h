// What CUDA hands out and must get back, each owned by one object. A destructor cannot throw, so its failures are passed over: the call that
// broke the device has thrown before.
#pragma once
#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

#include "cuda_failure.h"

namespace thermocline::cuda {

class DeviceMemory {
 public:
  explicit DeviceMemory(size_t byte_length) : byte_length_(byte_length) { check(cudaMalloc(&data_, byte_length), "cudaMalloc"); }
  ~DeviceMemory() { cudaFree(data_); }
  DeviceMemory(const DeviceMemory&) = delete;
  DeviceMemory& operator=(const DeviceMemory&) = delete;

  template <typename T>
  T* as() const {
    return static_cast<T*>(data_);
  }
  size_t byte_length() const { return byte_length_; }

 private:
  void* data_ = nullptr;
  size_t byte_length_;
};

// Host memory that devices read and write in place.
class PinnedMemory {
 public:
  explicit PinnedMemory(size_t byte_length) {
    check(cudaHostAlloc(&data_, byte_length, cudaHostAllocMapped | cudaHostAllocPortable), "cudaHostAlloc");
  }
  ~PinnedMemory() { cudaFreeHost(data_); }
  PinnedMemory(const PinnedMemory&) = delete;
  PinnedMemory& operator=(const PinnedMemory&) = delete;

  template <typename T>
  T* as() const {
    return static_cast<T*>(data_);
  }
  // The same memory, as the current device addresses it.
  template <typename T>
  T* on_device() const {
    void* address = nullptr;
    check(cudaHostGetDevicePointer(&address, data_, 0), "cudaHostGetDevicePointer");
    return static_cast<T*>(address);
  }

 private:
  void* data_ = nullptr;
};

class Stream {
 public:
  Stream() { check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "cudaStreamCreateWithFlags"); }
  ~Stream() { cudaStreamDestroy(stream_); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  operator cudaStream_t() const { return stream_; }
  void synchronize() const { check(cudaStreamSynchronize(stream_), "cudaStreamSynchronize"); }

 private:
  cudaStream_t stream_ = nullptr;
};

class Event {
 public:
  Event() { check(cudaEventCreate(&event_), "cudaEventCreate"); }
  ~Event() { cudaEventDestroy(event_); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  void record(const Stream& stream) const { check(cudaEventRecord(event_, stream), "cudaEventRecord"); }
  double seconds_since(const Event& earlier) const {
    float milliseconds = 0;
    check(cudaEventElapsedTime(&milliseconds, earlier.event_, event_), "cudaEventElapsedTime");
    return milliseconds / 1e3;
  }

 private:
  cudaEvent_t event_ = nullptr;
};

// Seconds that the device takes for what `enqueue` puts into the stream; blocks until it is done.
template <typename Enqueue>
double seconds_on_device(const Stream& stream, Enqueue enqueue) {
  const Event begin, end;
  begin.record(stream);
  enqueue();
  end.record(stream);
  stream.synchronize();
  return end.seconds_since(begin);
}

}  // namespace thermocline::cuda
