// The device's buffers: its own and JavaScript's.
#include <napi.h>

#include <cstring>
#include <memory>
#include <utility>

#include "arguments.h"
#include "native_device.h"
#include "thermocline/buffer.h"

namespace thermocline {

std::shared_ptr<Buffer> NativeDevice::buffer_of(const Napi::Value& handle) {
  std::shared_ptr<Buffer> buffer = buffers_.find(handle.As<Napi::Number>().Uint32Value());
  require(env_, buffer != nullptr, "the buffer was disposed");
  return buffer;
}

std::shared_ptr<Buffer> NativeDevice::import(const Napi::TypedArray& view) {
  std::shared_ptr<Buffer> buffer = Buffer::import(bytes_of(view), view.ByteLength());
  host_memories_.push_back({buffer, Napi::Persistent(view.As<Napi::Object>())});
  return buffer;
}

void NativeDevice::drop_unused_host_memories() {
  std::erase_if(host_memories_, [](const HostMemory& memory) { return memory.buffer.expired(); });
}

Napi::Value NativeDevice::allocate(const Napi::CallbackInfo& info) {
  enter();
  std::shared_ptr<Buffer> buffer = Buffer::allocate(size_of(info[0]), meter_);
  if (buffer == nullptr) return env_.Undefined();
  return Napi::Number::New(env_, buffers_.add(std::move(buffer)));
}

Napi::Value NativeDevice::import_host(const Napi::CallbackInfo& info) {
  enter();
  return Napi::Number::New(env_, buffers_.add(import(info[0].As<Napi::TypedArray>())));
}

void NativeDevice::release(const Napi::CallbackInfo& info) {
  enter();
  buffers_.remove(info[0].As<Napi::Number>().Uint32Value());
  drop_unused_host_memories();
}

void NativeDevice::write(const Napi::CallbackInfo& info) {
  enter();
  const std::shared_ptr<Buffer> buffer = buffer_of(info[0]);
  const uint64_t byte_offset = size_of(info[1]);
  const Napi::TypedArray bytes = info[2].As<Napi::TypedArray>();
  require(env_, buffer->holds(byte_offset, bytes.ByteLength()), "a write leaves its buffer");
  if (bytes.ByteLength() > 0) std::memmove(buffer->data() + byte_offset, bytes_of(bytes), bytes.ByteLength());
}

void NativeDevice::read(const Napi::CallbackInfo& info) {
  enter();
  const uint64_t id = size_of(info[0]);
  std::shared_ptr<Buffer> buffer = buffer_of(info[1]);
  const uint64_t byte_offset = size_of(info[2]);
  const Napi::TypedArray into = info[3].As<Napi::TypedArray>();
  require(env_, buffer->holds(byte_offset, into.ByteLength()), "a read leaves its buffer");
  reads_.emplace(id, Napi::Persistent(into.As<Napi::Object>()));
  begin_pending();
  executor_->read(id, std::move(buffer), byte_offset, into.ByteLength());
}

}  // namespace thermocline
