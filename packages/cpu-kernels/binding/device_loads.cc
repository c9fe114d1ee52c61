// Weights on their way into buffers.
#include <napi.h>

#include <memory>
#include <system_error>
#include <utility>

#include "arguments.h"
#include "native_device.h"
#include "thermocline/kernel_table.h"
#include "thermocline/weight_store.h"

namespace thermocline {

void NativeDevice::load(const Napi::CallbackInfo& info) {
  enter();
  auto request = std::make_shared<LoadRequest>();
  request->id = size_of(info[0]);
  request->buffer = buffer_of(info[1]);
  request->byte_offset = size_of(info[2]);
  request->slices = slices_of(info[3].As<Napi::Float64Array>(), request->file_rows);
  request->path = info[4].As<Napi::String>();
  request->file_offset = size_of(info[5]);
  require(env_, request->buffer->holds(request->byte_offset, request->slices.byte_length()), "a load leaves its buffer");
  try {
    store_->load(request);
  } catch (const std::system_error&) {
    throw Napi::Error::New(env_, "the system refuses to start a thread");
  }
  loads_.emplace(request->id, std::move(request));
  begin_pending();
}

void NativeDevice::cancel_load(const Napi::CallbackInfo& info) {
  enter();
  const auto entry = loads_.find(size_of(info[0]));
  if (entry != loads_.end()) entry->second->cancelled.store(true);
}

void NativeDevice::store(const Napi::CallbackInfo& info) {
  enter();
  const std::shared_ptr<Buffer> buffer = buffer_of(info[0]);
  const uint64_t byte_offset = size_of(info[1]);
  int64_t file_rows = 0;
  const WeightSlices slices = slices_of(info[2].As<Napi::Float64Array>(), file_rows);
  const uint64_t first_row = size_of(info[3]);
  const uint64_t num_rows = size_of(info[4]);
  const Napi::TypedArray bytes = info[5].As<Napi::TypedArray>();
  const uint64_t total_rows = static_cast<uint64_t>(slices.num_rows());
  require(env_, first_row <= total_rows && num_rows <= total_rows - first_row, "rows leave the weight");
  require(env_, slices.begins_piece(static_cast<int64_t>(first_row)) && slices.begins_piece(static_cast<int64_t>(first_row + num_rows)),
          "a piece cuts a group of rows");
  require(env_, bytes.ByteLength() == num_rows * slices.row_bytes(), "a piece does not have its rows' bytes");
  require(env_, buffer->holds(byte_offset, slices.byte_length()), "a load leaves its buffer");
  store_rows(slices, static_cast<int64_t>(first_row), static_cast<int64_t>(num_rows), bytes_of(bytes), buffer->data() + byte_offset);
}

}  // namespace thermocline
