// Hand-overs as the engine makes them: a value in pinned host memory that one side raises and the other waits for.
#include <cuda.h>
#include <cuda_runtime.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstring>

#include "device_resources.h"
#include "measurements.h"

namespace thermocline::cuda {
namespace {

using Clock = std::chrono::steady_clock;
using WaitValue = CUresult (*)(CUstream, CUdeviceptr, cuuint32_t, unsigned int);
using WriteValue = CUresult (*)(CUstream, CUdeviceptr, cuuint32_t, unsigned int);

constexpr size_t payload_bytes = 16 << 10;
constexpr uint32_t let_go = 0x7fffffff;
constexpr auto patience = std::chrono::seconds(5);
constexpr unsigned long long patience_ns = 5'000'000'000ull;

// Two values, a cache line each: what the host has given, and what the device has.
struct Flags {
  explicit Flags(const PinnedMemory& memory) : host(memory.as<uint32_t>()), device(memory.on_device<uint32_t>()) {
    std::memset(host, 0, byte_length);
  }
  static constexpr size_t byte_length = 128;
  std::atomic<uint32_t>& given() const { return *reinterpret_cast<std::atomic<uint32_t>*>(host); }
  std::atomic<uint32_t>& answered() const { return *reinterpret_cast<std::atomic<uint32_t>*>(host + 16); }
  uint32_t* given_on_device() const { return device; }
  uint32_t* answered_on_device() const { return device + 16; }

 private:
  uint32_t* host;
  uint32_t* device;
};
static_assert(sizeof(std::atomic<uint32_t>) == sizeof(uint32_t), "flags are plain words");

// Whatever happens between, the device is let go: its stream must not wait for ever.
struct LetGo {
  const Flags& flags;
  ~LetGo() { flags.given().store(let_go, std::memory_order_release); }
};

struct StreamMemoryOperations {
  WaitValue wait = nullptr;
  WriteValue write = nullptr;
  bool found() const { return wait != nullptr && write != nullptr; }
};

void* driver_entry_point(const char* name) {
  void* function = nullptr;
  cudaDriverEntryPointQueryResult result = cudaDriverEntryPointSymbolNotFound;
  const cudaError_t error = cudaGetDriverEntryPointByVersion(name, &function, 12000, cudaEnableDefault, &result);
  if (error != cudaSuccess) cudaGetLastError();
  return error == cudaSuccess && result == cudaDriverEntryPointSuccess ? function : nullptr;
}

// Looked up at run time, so that nothing links against the driver.
StreamMemoryOperations find_stream_memory_operations() {
  StreamMemoryOperations operations;
  operations.wait = reinterpret_cast<WaitValue>(driver_entry_point("cuStreamWaitValue32"));
  operations.write = reinterpret_cast<WriteValue>(driver_entry_point("cuStreamWriteValue32"));
  return operations;
}

void check_driver(CUresult result, const char* call) {
  if (result != CUDA_SUCCESS) throw CudaFailure(std::string(call) + ": driver error " + std::to_string(static_cast<int>(result)));
}

// For each round r from 1 on: waits until *given >= r, then raises *answered to r. Launch <<<1, 1>>>. Gives up after `patience_ns` a round,
// so that it ends whatever the host does.
__global__ void answer_rounds(const volatile uint32_t* given, volatile uint32_t* answered, uint32_t rounds) {
  for (uint32_t round = 1; round <= rounds; round++) {
    unsigned long long begin, now;
    asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(begin));
    while (*given < round) {
      asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(now));
      if (now - begin > patience_ns) return;
    }
    __threadfence_system();
    *answered = round;
    __threadfence_system();
  }
}

// values[i] += 1 for i < count. Launch with at least `count` threads.
__global__ void add_one_to_each(float* values, int count) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < count) values[i] += 1;
}

// Gives round after round and waits for each answer; returns seconds of one. The device's part is enqueued already.
double play_rounds(const Flags& flags, uint32_t rounds) {
  const auto begin = Clock::now();
  for (uint32_t round = 1; round <= rounds; round++) {
    flags.given().store(round, std::memory_order_release);
    uint32_t spins = 0;
    while (flags.answered().load(std::memory_order_acquire) < round)
      if ((++spins & 0xfff) == 0 && Clock::now() - begin > patience)
        throw CudaFailure("the device did not answer round " + std::to_string(round) + " of " + std::to_string(rounds));
  }
  return std::chrono::duration<double>(Clock::now() - begin).count() / rounds;
}

// `enqueue` puts the device's part of `rounds` rounds into the stream.
template <typename Enqueue>
double measure_rounds(const Stream& stream, const PinnedMemory& memory, uint32_t rounds, Enqueue enqueue) {
  const Flags flags(memory);
  double seconds = 0;
  try {
    const LetGo guard{flags};
    enqueue(flags);
    seconds = play_rounds(flags, rounds);
  } catch (...) {
    cudaStreamSynchronize(stream);
    throw;
  }
  stream.synchronize();
  return seconds;
}

CUdeviceptr address_of(const uint32_t* value) { return static_cast<CUdeviceptr>(reinterpret_cast<uintptr_t>(value)); }

}  // namespace

std::string measure_hand_overs(const MeasuredDevice& device, std::vector<Figure>& figures) {
  const StreamMemoryOperations operations = find_stream_memory_operations();
  const Stream stream;
  const PinnedMemory flag_memory(Flags::byte_length);
  const uint32_t rounds = device.quick ? 4 : 64;

  figures.push_back(measure_figure("pollingKernelRoundTripSeconds", device.samples(), [&] {
    return measure_rounds(stream, flag_memory, rounds, [&](const Flags& flags) {
      answer_rounds<<<1, 1, 0, stream>>>(flags.given_on_device(), flags.answered_on_device(), rounds);
      check_launch("answer_rounds");
    });
  }));
  if (!operations.found()) return "polling-kernel";

  const auto wait = [&](const Flags& flags, uint32_t round) {
    check_driver(operations.wait(static_cast<cudaStream_t>(stream), address_of(flags.given_on_device()), round, CU_STREAM_WAIT_VALUE_GEQ),
                 "cuStreamWaitValue32");
  };
  const auto answer = [&](const Flags& flags, uint32_t round) {
    check_driver(
        operations.write(static_cast<cudaStream_t>(stream), address_of(flags.answered_on_device()), round, CU_STREAM_WRITE_VALUE_DEFAULT),
        "cuStreamWriteValue32");
  };
  figures.push_back(measure_figure("signalRoundTripSeconds", device.samples(), [&] {
    return measure_rounds(stream, flag_memory, rounds, [&](const Flags& flags) {
      for (uint32_t round = 1; round <= rounds; round++) {
        wait(flags, round);
        answer(flags, round);
      }
    });
  }));

  const PinnedMemory payload(payload_bytes);
  const DeviceMemory values(payload_bytes);
  constexpr int count = payload_bytes / sizeof(float);
  std::memset(payload.as<void>(), 0, payload_bytes);
  // Code is loaded at the first launch, which may wait for all streams: it must not come while one of them waits for the host.
  add_one_to_each<<<1, 256, 0, stream>>>(values.as<float>(), 0);
  check_launch("add_one_to_each");
  stream.synchronize();
  float expected = 0;
  figures.push_back(measure_figure("handOverRoundTripSeconds", device.samples(), [&] {
    expected += static_cast<float>(rounds);
    return measure_rounds(stream, flag_memory, rounds, [&](const Flags& flags) {
      for (uint32_t round = 1; round <= rounds; round++) {
        wait(flags, round);
        check(cudaMemcpyAsync(values.as<void>(), payload.as<void>(), payload_bytes, cudaMemcpyHostToDevice, stream), "cudaMemcpyAsync");
        add_one_to_each<<<(count + 255) / 256, 256, 0, stream>>>(values.as<float>(), count);
        check_launch("add_one_to_each");
        check(cudaMemcpyAsync(payload.as<void>(), values.as<void>(), payload_bytes, cudaMemcpyDeviceToHost, stream), "cudaMemcpyAsync");
        answer(flags, round);
      }
    });
  }));
  for (int i = 0; i < count; i++)
    if (payload.as<float>()[i] != expected) throw CudaFailure("a hand-over lost a value");
  return "stream-memory-operations";
}

}  // namespace thermocline::cuda
