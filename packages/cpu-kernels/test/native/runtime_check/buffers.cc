// Buffers: alignment, zeroes, accounting, lifetimes.
#include "runtime_check.h"

#include <algorithm>
#include <cstdio>
#include <cstring>

namespace thermocline::runtime_check {

void check_buffers() {
  const AllocationMeter meter = new_meter();
  {
    BufferTable table;
    for (const size_t length : {size_t{0}, size_t{1}, size_t{100}, size_t{1} << 20, (size_t{4} << 20) + 5}) {
      const uint64_t before = meter->load();
      const uint32_t handle = table.add(Buffer::allocate(length, meter));
      const std::shared_ptr<Buffer> buffer = table.find(handle);
      expect(meter->load() == before + length, "the meter counts exact lengths");
      expect(reinterpret_cast<uintptr_t>(buffer->data()) % buffer_alignment == 0, "buffers are aligned");
      expect(std::all_of(buffer->data(), buffer->data() + length, [](std::byte value) { return value == std::byte{0}; }), "buffers are zero");
      if (length > 0) std::memset(buffer->data(), 1, length);
      expect(buffer->holds(length, 0) && !buffer->holds(length, 1) && !buffer->holds(UINT64_MAX, 2) && !buffer->holds(0, UINT64_MAX),
             "extents are checked without overflow");
    }
    expect(Buffer::allocate(size_t{1} << 60, meter) == nullptr, "an impossible allocation is refused");
    const uint32_t handle = table.add(Buffer::allocate(64, meter));
    const std::shared_ptr<Buffer> held = table.remove(handle);
    expect(table.find(handle) == nullptr && table.remove(handle) == nullptr && held->data() != nullptr, "a removed buffer lives as long as its holder");
  }
  expect(meter->load() == 0, "every byte is given back");
  std::puts("buffers: alignment, zeroes, exact accounting");
}

}  // namespace thermocline::runtime_check
