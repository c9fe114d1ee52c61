#include "thermocline/buffer.h"

#include <cstdlib>
#include <cstring>
#include <utility>

#include "thermocline/commands.h"

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace thermocline {
namespace {

// GCC defines a macro under -fsanitize=address; clang 14 only answers __has_feature.
#if defined(__SANITIZE_ADDRESS__)
#define THERMOCLINE_ADDRESS_SANITIZER
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define THERMOCLINE_ADDRESS_SANITIZER
#endif
#endif

// From here on memory comes from the system page by page: zero without being touched, returned when freed. Sanitizers see only the heap.
#if defined(__linux__) && !defined(THERMOCLINE_ADDRESS_SANITIZER)
constexpr size_t mapping_threshold = size_t{1} << 20;
#else
constexpr size_t mapping_threshold = SIZE_MAX;
#endif
// Weights are streamed once a token: huge pages spare most address translations.
constexpr size_t huge_page_threshold = size_t{4} << 20;

}  // namespace

Buffer::Buffer(std::byte* data, size_t byte_length, Origin origin, AllocationMeter meter)
    : data_(data), byte_length_(byte_length), origin_(origin), meter_(std::move(meter)) {
  if (meter_) meter_->fetch_add(byte_length_);
}

std::shared_ptr<Buffer> Buffer::allocate(size_t byte_length, AllocationMeter meter) {
  if (byte_length > SIZE_MAX - buffer_alignment) return nullptr;
#if defined(__linux__)
  if (byte_length >= mapping_threshold) {
    void* memory = mmap(nullptr, byte_length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return nullptr;
    if (byte_length >= huge_page_threshold) madvise(memory, byte_length, MADV_HUGEPAGE);
    return std::shared_ptr<Buffer>(new Buffer(static_cast<std::byte*>(memory), byte_length, Origin::mapping, std::move(meter)));
  }
#endif
  void* memory = nullptr;
  const size_t heap_length = byte_length == 0 ? 1 : byte_length;
  if (posix_memalign(&memory, buffer_alignment, heap_length) != 0) return nullptr;
  std::memset(memory, 0, heap_length);
  return std::shared_ptr<Buffer>(new Buffer(static_cast<std::byte*>(memory), byte_length, Origin::heap, std::move(meter)));
}

std::shared_ptr<Buffer> Buffer::import(std::byte* data, size_t byte_length) {
  return std::shared_ptr<Buffer>(new Buffer(data, byte_length, Origin::imported, nullptr));
}

Buffer::~Buffer() {
#if defined(__linux__)
  if (origin_ == Origin::mapping) munmap(data_, byte_length_);
#endif
  if (origin_ == Origin::heap) std::free(data_);
  if (meter_) meter_->fetch_sub(byte_length_);
}

uint32_t BufferTable::add(std::shared_ptr<Buffer> buffer) {
  if (next_handle_ == absent_handle) return absent_handle;
  buffers_.emplace(next_handle_, std::move(buffer));
  return next_handle_++;
}

std::shared_ptr<Buffer> BufferTable::find(uint32_t handle) const {
  const auto entry = buffers_.find(handle);
  return entry == buffers_.end() ? nullptr : entry->second;
}

std::shared_ptr<Buffer> BufferTable::remove(uint32_t handle) {
  const auto entry = buffers_.find(handle);
  if (entry == buffers_.end()) return nullptr;
  std::shared_ptr<Buffer> buffer = std::move(entry->second);
  buffers_.erase(entry);
  return buffer;
}

}  // namespace thermocline
