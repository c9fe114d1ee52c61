// The device as a JavaScript class: construction, what keeps it alive, disposal.
#include <napi.h>

#include <memory>
#include <string>
#include <system_error>
#include <utility>

#include "arguments.h"
#include "native_device.h"
#include "thermocline/instruction_set.h"

namespace thermocline {

Napi::Function NativeDevice::define(Napi::Env env) {
  return DefineClass(env, "NativeDevice",
                     {InstanceMethod<&NativeDevice::allocate>("allocate"), InstanceMethod<&NativeDevice::import_host>("importHost"),
                      InstanceMethod<&NativeDevice::release>("release"), InstanceMethod<&NativeDevice::write>("write"),
                      InstanceMethod<&NativeDevice::read>("read"), InstanceMethod<&NativeDevice::create_list>("createList"),
                      InstanceMethod<&NativeDevice::list_byte_length>("listByteLength"),
                      InstanceMethod<&NativeDevice::release_list>("releaseList"), InstanceMethod<&NativeDevice::submit>("submit"),
                      InstanceMethod<&NativeDevice::cancel>("cancel"), InstanceMethod<&NativeDevice::load>("load"),
                      InstanceMethod<&NativeDevice::cancel_load>("cancelLoad"), InstanceMethod<&NativeDevice::store>("storeRows"),
                      InstanceMethod<&NativeDevice::dispose>("dispose"),
                      // Not counted as crossings: they are how crossings are read.
                      InstanceMethod<&NativeDevice::allocated_bytes>("allocatedBytes"),
                      InstanceMethod<&NativeDevice::crossings>("crossings")});
}

NativeDevice::NativeDevice(const Napi::CallbackInfo& info) : Napi::ObjectWrap<NativeDevice>(info), env_(info.Env()) {
  const std::string isa = info[0].As<Napi::String>();
  const KernelTable* kernels = nullptr;
  for (const KernelTable* table : supported_kernels())
    if (isa == table->isa) kernels = table;
  require(env_, kernels != nullptr, "this processor does not run " + isa);
  const int threads = info[1].As<Napi::Number>().Int32Value();
  require(env_, threads >= 1, "a device needs a thread");
  const double throttle = info[3].As<Napi::Number>().DoubleValue();
  require(env_, throttle >= 1, "a device cannot be throttled to be faster");

  queue_ = std::make_shared<EventQueue>();
  queue_->device = this;
  auto* context = new std::shared_ptr<EventQueue>(queue_);
  const napi_status status = napi_create_threadsafe_function(
      env_, info[2].As<Napi::Function>(), nullptr, Napi::String::New(env_, "thermocline device"), 0, 1, nullptr,
      [](napi_env, void*, void* queue) { delete static_cast<std::shared_ptr<EventQueue>*>(queue); }, context, &on_events, &listener_);
  if (status != napi_ok) delete context;
  require(env_, status == napi_ok, "the event queue cannot be made");
  napi_unref_threadsafe_function(env_, listener_);
  try {
    store_ = std::make_unique<WeightStore>(WeightStore::Events{
        .load_done = [this](LoadReport&& report) { post(std::move(report)); },
        .progress = [this](uint64_t id, uint64_t byte_length) { post(LoadProgress{id, byte_length}); },
    });
    Executor::Events events{
        .submission_done = [this](SubmissionReport&& report) { post(std::move(report)); },
        .read_done = [this](ReadReport&& report) { post(std::move(report)); },
        .drained =
            [this] {
              store_->stop_and_join();
              post(Drained{});
            },
    };
    executor_ = std::make_unique<Executor>(*kernels, threads, std::move(events), throttle);
  } catch (const std::system_error&) {
    queue_->device = nullptr;
    napi_release_threadsafe_function(listener_, napi_tsfn_abort);
    throw Napi::Error::New(env_, "the system refuses to start " + std::to_string(threads) + " threads");
  }
  napi_add_env_cleanup_hook(env_, &on_env_teardown, this);
}

void NativeDevice::enter() {
  require(env_, executor_ != nullptr && !disposing_, "the device was disposed");
  crossings_++;
}

Napi::Value NativeDevice::allocated_bytes(const Napi::CallbackInfo&) {
  return Napi::Number::New(env_, static_cast<double>(meter_->load()));
}

Napi::Value NativeDevice::crossings(const Napi::CallbackInfo&) { return Napi::Number::New(env_, static_cast<double>(crossings_)); }

void NativeDevice::dispose(const Napi::CallbackInfo&) {
  enter();
  disposing_ = true;
  begin_pending();
  executor_->stop();
}

void NativeDevice::begin_pending() {
  if (num_pending_++ > 0) return;
  napi_ref_threadsafe_function(env_, listener_);
  Ref();
}

void NativeDevice::end_pending() {
  if (--num_pending_ > 0) return;
  napi_unref_threadsafe_function(env_, listener_);
  Unref();
}

void NativeDevice::on_env_teardown(void* device) { static_cast<NativeDevice*>(device)->shut_down(); }

void NativeDevice::shut_down() {
  if (executor_ == nullptr) return;
  napi_remove_env_cleanup_hook(env_, &on_env_teardown, this);
  executor_.reset();
  store_.reset();
  queue_->device = nullptr;
  submissions_.clear();
  loads_.clear();
  lists_.clear();
  buffers_.clear();
  reads_.clear();
  host_memories_.clear();
  napi_release_threadsafe_function(listener_, napi_tsfn_abort);
}

}  // namespace thermocline
