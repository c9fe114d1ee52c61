// From the threads of the device to the JavaScript listener.
#include <napi.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <mutex>
#include <utility>
#include <variant>
#include <vector>

#include "arguments.h"
#include "event_queue.h"
#include "native_device.h"

namespace thermocline {
namespace {

napi_value number(napi_env env, double value) { return Napi::Number::New(env, value); }
napi_value kind(napi_env env, EventKind kind) { return number(env, static_cast<double>(kind)); }

}  // namespace

void NativeDevice::post(Event&& event) {
  bool wake = false;
  {
    std::lock_guard lock(queue_->mutex);
    wake = queue_->events.empty();
    queue_->events.push_back(std::move(event));
  }
  if (wake) napi_call_threadsafe_function(listener_, nullptr, napi_tsfn_nonblocking);
}

void NativeDevice::on_events(napi_env env, napi_value listener, void* context, void*) {
  if (env == nullptr || listener == nullptr) return;
  const std::shared_ptr<EventQueue> queue = *static_cast<std::shared_ptr<EventQueue>*>(context);
  if (queue->device == nullptr) return;
  const Napi::HandleScope scope(env);
  [[maybe_unused]] const Napi::Object keep_alive = queue->device->Value();
  std::vector<Event> events;
  {
    std::lock_guard lock(queue->mutex);
    events.swap(queue->events);
  }
  for (Event& event : events) {
    if (queue->device == nullptr) return;
    queue->device->deliver(Napi::Function(env, listener), event);
  }
}

void NativeDevice::deliver(const Napi::Function& listener, Event& event) {
  const Napi::HandleScope scope(env_);
  std::vector<napi_value> arguments = std::visit([this](auto& report) { return arguments_of(report); }, event);
  if (!std::holds_alternative<LoadProgress>(event)) end_pending();
  if (std::holds_alternative<Drained>(event)) shut_down();
  // The listener settles promises; whatever it throws belongs to the process, as with any event listener.
  napi_value result = nullptr;
  napi_status status = napi_call_function(env_, env_.Undefined(), listener, arguments.size(), arguments.data(), &result);
  bool exception = false;
  if (status == napi_pending_exception || (napi_is_exception_pending(env_, &exception) == napi_ok && exception)) {
    napi_value error = nullptr;
    if (napi_get_and_clear_last_exception(env_, &error) == napi_ok) napi_fatal_exception(env_, error);
  }
}

std::vector<napi_value> NativeDevice::arguments_of(SubmissionReport& report) {
  submissions_.erase(report.id);
  drop_unused_host_memories();
  napi_value stretches = env_.Undefined();
  if (!report.stretches_ms.empty()) {
    Napi::Float64Array times = Napi::Float64Array::New(env_, report.stretches_ms.size());
    std::copy(report.stretches_ms.begin(), report.stretches_ms.end(), times.Data());
    stretches = times;
  }
  return {kind(env_, EventKind::submission_done),
          number(env_, static_cast<double>(report.id)),
          number(env_, static_cast<double>(report.outcome)),
          number(env_, static_cast<double>(report.command_index)),
          Napi::String::New(env_, report.op),
          Napi::String::New(env_, report.detail),
          stretches};
}

std::vector<napi_value> NativeDevice::arguments_of(ReadReport& report) {
  bool filled = false;
  const auto entry = reads_.find(report.id);
  if (entry != reads_.end()) {
    const Napi::TypedArray into = entry->second.Value().As<Napi::TypedArray>();
    filled = !report.cancelled && into.ByteLength() == report.bytes.size();
    if (filled && !report.bytes.empty()) std::memcpy(bytes_of(into), report.bytes.data(), report.bytes.size());
    reads_.erase(entry);
  }
  drop_unused_host_memories();
  return {kind(env_, EventKind::read_done), number(env_, static_cast<double>(report.id)), Napi::Boolean::New(env_, filled)};
}

std::vector<napi_value> NativeDevice::arguments_of(LoadReport& report) {
  loads_.erase(report.id);
  return {kind(env_, EventKind::load_done), number(env_, static_cast<double>(report.id)),
          number(env_, static_cast<double>(report.outcome)), number(env_, report.error_number),
          number(env_, static_cast<double>(report.file_byte_length))};
}

std::vector<napi_value> NativeDevice::arguments_of(LoadProgress& progress) {
  return {kind(env_, EventKind::load_progress), number(env_, static_cast<double>(progress.id)),
          number(env_, static_cast<double>(progress.byte_length))};
}

std::vector<napi_value> NativeDevice::arguments_of(Drained&) { return {kind(env_, EventKind::drained), number(env_, 0)}; }

}  // namespace thermocline
