// Command lists and their submissions.
#include <napi.h>

#include <cmath>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "arguments.h"
#include "native_device.h"
#include "thermocline/command_list.h"
#include "thermocline/executor.h"

namespace thermocline {

Napi::Value NativeDevice::create_list(const Napi::CallbackInfo& info) {
  enter();
  const Napi::Uint32Array words = info[0].As<Napi::Uint32Array>();
  const Napi::Float64Array numbers = info[1].As<Napi::Float64Array>();
  const Napi::Array views = info[2].As<Napi::Array>();
  std::vector<std::shared_ptr<Buffer>> counters;
  for (uint32_t i = 0; i < views.Length(); i++) counters.push_back(import(views.Get(i).As<Napi::TypedArray>()));
  std::string problem;
  std::shared_ptr<const CommandList> list =
      CommandList::decode(words.Data(), words.ElementLength(), numbers.Data(), numbers.ElementLength(), buffers_, std::move(counters),
                          problem);
  require(env_, list != nullptr, problem);
  lists_.emplace(next_list_, std::move(list));
  return Napi::Number::New(env_, next_list_++);
}

std::shared_ptr<const CommandList> NativeDevice::list_of(const Napi::Value& handle) {
  const auto entry = lists_.find(handle.As<Napi::Number>().Uint32Value());
  require(env_, entry != lists_.end(), "the command list was disposed");
  return entry->second;
}

Napi::Value NativeDevice::list_byte_length(const Napi::CallbackInfo& info) {
  enter();
  return Napi::Number::New(env_, static_cast<double>(list_of(info[0])->byte_length()));
}

void NativeDevice::release_list(const Napi::CallbackInfo& info) {
  enter();
  lists_.erase(info[0].As<Napi::Number>().Uint32Value());
  drop_unused_host_memories();
}

void NativeDevice::submit(const Napi::CallbackInfo& info) {
  enter();
  auto submission = std::make_shared<Submission>();
  submission->id = size_of(info[0]);
  submission->list = list_of(info[1]);
  const Napi::Float64Array bindings = info[2].As<Napi::Float64Array>();
  require(env_, bindings.ElementLength() == num_bindings, "a binding is missing");
  for (size_t i = 0; i < num_bindings; i++) {
    require(env_, bindings[i] >= 0 && bindings[i] <= INT32_MAX && bindings[i] == std::floor(bindings[i]), "a binding is no 32-bit count");
    submission->bindings[i] = static_cast<int64_t>(bindings[i]);
  }
  require(env_, submission->list->num_signals() == 0 || submission->bindings[static_cast<size_t>(Binding::step)] > 0,
          "a list with signals needs a step number above 0");
  submission->trace = info[3].As<Napi::Boolean>();
  submission->fault_at_command = info[4].As<Napi::Number>().Int64Value();
  submissions_.emplace(submission->id, submission);
  begin_pending();
  executor_->submit(std::move(submission));
}

void NativeDevice::cancel(const Napi::CallbackInfo& info) {
  enter();
  const auto entry = submissions_.find(size_of(info[0]));
  if (entry != submissions_.end()) entry->second->cancelled.store(true);
}

}  // namespace thermocline
