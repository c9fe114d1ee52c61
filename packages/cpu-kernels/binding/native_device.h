// One NativeDevice is one backend: its buffers, lists, executor and loader, and the queue on which their events reach the JavaScript
// thread. All state belongs to an instance, so any number of them work in any number of worker threads.
#pragma once
#include <napi.h>

#include <atomic>
#include <memory>
#include <unordered_map>
#include <vector>

#include "event_queue.h"
#include "thermocline/buffer.h"
#include "thermocline/command_list.h"
#include "thermocline/executor.h"
#include "thermocline/weight_store.h"

namespace thermocline {

class NativeDevice : public Napi::ObjectWrap<NativeDevice> {
 public:
  static Napi::Function define(Napi::Env env);

  // (isa, threads, listener, throttle)
  explicit NativeDevice(const Napi::CallbackInfo& info);
  ~NativeDevice() override { shut_down(); }

 private:
  // Where JavaScript memory is in use, its view is held until the last list or submission has let go of the buffer.
  struct HostMemory {
    std::weak_ptr<Buffer> buffer;
    Napi::ObjectReference view;
  };

  // ---- device_memory.cc ----

  std::shared_ptr<Buffer> buffer_of(const Napi::Value& handle);
  std::shared_ptr<Buffer> import(const Napi::TypedArray& view);
  void drop_unused_host_memories();
  // (byteLength) -> handle, or undefined where the system has no memory
  Napi::Value allocate(const Napi::CallbackInfo& info);
  // (view) -> handle
  Napi::Value import_host(const Napi::CallbackInfo& info);
  // (handle)
  void release(const Napi::CallbackInfo& info);
  // (handle, byteOffset, bytes)
  void write(const Napi::CallbackInfo& info);
  // (id, handle, byteOffset, into)
  void read(const Napi::CallbackInfo& info);

  // ---- device_lists.cc ----

  // (words, numbers, counters) -> list handle
  Napi::Value create_list(const Napi::CallbackInfo& info);
  std::shared_ptr<const CommandList> list_of(const Napi::Value& handle);
  // (list) -> bytes
  Napi::Value list_byte_length(const Napi::CallbackInfo& info);
  // (list)
  void release_list(const Napi::CallbackInfo& info);
  // (id, list, bindings, trace, faultAtCommand or -1)
  void submit(const Napi::CallbackInfo& info);
  // (id)
  void cancel(const Napi::CallbackInfo& info);

  // ---- device_loads.cc ----

  // (id, handle, byteOffset, slices, path, fileOffset)
  void load(const Napi::CallbackInfo& info);
  // (id)
  void cancel_load(const Napi::CallbackInfo& info);
  // (handle, byteOffset, slices, firstRow, numRows, fileRows): the rows of one piece, read by the caller
  void store(const Napi::CallbackInfo& info);

  // ---- native_device.cc ----

  // First in every method that counts as a crossing: refuses where the device was disposed.
  void enter();
  Napi::Value allocated_bytes(const Napi::CallbackInfo&);
  Napi::Value crossings(const Napi::CallbackInfo&);
  // Cancels everything; the event `drained` follows once it has been reported and the threads have ended.
  void dispose(const Napi::CallbackInfo&);
  // While something is pending, the event loop stays alive and so does this object.
  void begin_pending();
  void end_pending();
  static void on_env_teardown(void* device);
  // Ends the threads, cancelling what runs, and frees everything. The second call does nothing.
  void shut_down();

  // ---- device_events.cc ----

  // Any thread of this device.
  void post(Event&& event);
  static void on_events(napi_env env, napi_value listener, void* context, void*);
  void deliver(const Napi::Function& listener, Event& event);
  std::vector<napi_value> arguments_of(SubmissionReport& report);
  // The caller's memory is filled here, on its own thread: a view that was detached meanwhile is seen instead of written to.
  std::vector<napi_value> arguments_of(ReadReport& report);
  std::vector<napi_value> arguments_of(LoadReport& report);
  std::vector<napi_value> arguments_of(LoadProgress& progress);
  std::vector<napi_value> arguments_of(Drained&);

  Napi::Env env_;
  std::shared_ptr<EventQueue> queue_;
  napi_threadsafe_function listener_ = nullptr;
  AllocationMeter meter_ = std::make_shared<std::atomic<uint64_t>>(0);
  BufferTable buffers_;
  std::vector<HostMemory> host_memories_;
  std::unordered_map<uint32_t, std::shared_ptr<const CommandList>> lists_;
  uint32_t next_list_ = 0;
  std::unordered_map<uint64_t, std::shared_ptr<Submission>> submissions_;
  std::unordered_map<uint64_t, std::shared_ptr<LoadRequest>> loads_;
  std::unordered_map<uint64_t, Napi::ObjectReference> reads_;
  std::unique_ptr<WeightStore> store_;
  std::unique_ptr<Executor> executor_;
  uint64_t crossings_ = 0;
  uint64_t num_pending_ = 0;
  bool disposing_ = false;
};

}  // namespace thermocline
