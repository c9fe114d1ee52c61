#include <cstdint>
#include <cstring>

#include "device_resources.h"
#include "measurements.h"

namespace thermocline::cuda {
namespace {

constexpr size_t small_bytes = 8 << 10;
constexpr int copies_in_a_row = 64;

}  // namespace

void measure_transfers(const MeasuredDevice& device, std::vector<Figure>& figures) {
  const size_t large_bytes = device.quick ? size_t{1} << 20 : size_t{256} << 20;
  const Stream stream;
  const PinnedMemory source(large_bytes), target(large_bytes);
  const DeviceMemory memory(large_bytes);
  uint32_t* const words = source.as<uint32_t>();
  for (size_t i = 0; i < large_bytes / sizeof(uint32_t); i++) words[i] = static_cast<uint32_t>(i * 2654435761u);
  std::memset(target.as<void>(), 0, large_bytes);

  struct Direction {
    const char* name;
    void* to;
    const void* from;
    cudaMemcpyKind kind;
  };
  const Direction directions[] = {{"hostToDevice", memory.as<void>(), source.as<void>(), cudaMemcpyHostToDevice},
                                  {"deviceToHost", target.as<void>(), memory.as<void>(), cudaMemcpyDeviceToHost}};
  for (const Direction& direction : directions) {
    const auto copies = [&](size_t byte_length, int count) {
      return seconds_on_device(stream, [&] {
        for (int copy = 0; copy < count; copy++)
          check(cudaMemcpyAsync(direction.to, direction.from, byte_length, direction.kind, stream), "cudaMemcpyAsync");
      });
    };
    const std::string name = direction.name;
    figures.push_back(measure_figure(name + "BytesPerSecond", device.samples(),
                                     [&] { return static_cast<double>(large_bytes) / copies(large_bytes, 1); }));
    figures.push_back(
        measure_figure(name + "CopySeconds", device.samples(), [&] { return copies(small_bytes, copies_in_a_row) / copies_in_a_row; }));
  }
  if (std::memcmp(source.as<void>(), target.as<void>(), large_bytes) != 0)
    throw CudaFailure("bytes that went to the device and back are not the same");
}

}  // namespace thermocline::cuda
