// Memory that tensors lie in, and the table by which the outside names it.
#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <unordered_map>

namespace thermocline {

inline constexpr size_t buffer_alignment = 64;

// Bytes now allocated by one backend. Shared with the buffers, which outlive the table where a list still uses them.
using AllocationMeter = std::shared_ptr<std::atomic<uint64_t>>;

class Buffer {
 public:
  // Zero-filled and aligned to buffer_alignment; nullptr where the system has no memory. A length of 0 still has an address.
  static std::shared_ptr<Buffer> allocate(size_t byte_length, AllocationMeter meter);
  // Memory of somebody else, who keeps it valid for as long as the buffer lives.
  static std::shared_ptr<Buffer> import(std::byte* data, size_t byte_length);
  ~Buffer();
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  std::byte* data() const { return data_; }
  size_t byte_length() const { return byte_length_; }
  bool holds(uint64_t byte_offset, uint64_t length) const { return byte_offset <= byte_length_ && length <= byte_length_ - byte_offset; }

 private:
  enum class Origin { heap, mapping, imported };
  Buffer(std::byte* data, size_t byte_length, Origin origin, AllocationMeter meter);

  std::byte* data_;
  size_t byte_length_;
  Origin origin_;
  AllocationMeter meter_;
};

// Used from one thread. Handles are never given out twice.
class BufferTable {
 public:
  uint32_t add(std::shared_ptr<Buffer> buffer);
  // nullptr for an unknown handle.
  std::shared_ptr<Buffer> find(uint32_t handle) const;
  // The bytes are freed now, or with the last list, load or read that uses them.
  std::shared_ptr<Buffer> remove(uint32_t handle);
  void clear() { buffers_.clear(); }

 private:
  std::unordered_map<uint32_t, std::shared_ptr<Buffer>> buffers_;
  uint32_t next_handle_ = 0;
};

}  // namespace thermocline
