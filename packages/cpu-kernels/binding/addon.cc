// The seam to Node, and the only file that knows it. One NativeDevice is one backend: its buffers, lists, executor and loader, and the
// queue on which their events reach the JavaScript thread. All state belongs to an instance, so any number of them work in any number of
// worker threads. The caller is src/, which checks operands; here only what memory safety needs is checked again.
#include <napi.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <mutex>
#include <string>
#include <system_error>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "thermocline/buffer.h"
#include "thermocline/command_list.h"
#include "thermocline/executor.h"
#include "thermocline/instruction_set.h"
#include "thermocline/weight_store.h"

namespace thermocline {
namespace {

void require(const Napi::Env& env, bool condition, const std::string& problem) {
  if (!condition) throw Napi::Error::New(env, problem);
}

// A non-negative integer that a double holds exactly.
uint64_t size_of(const Napi::Value& value) {
  const double number = value.As<Napi::Number>().DoubleValue();
  require(value.Env(), number >= 0 && number <= 9007199254740992.0 && number == std::floor(number), "a size is no non-negative integer");
  return static_cast<uint64_t>(number);
}

std::byte* bytes_of(const Napi::TypedArray& view) {
  return reinterpret_cast<std::byte*>(view.As<Napi::Uint8Array>().Data());
}

// The numbers that src/weight-slices.ts packs: type, layout, elements and bytes of a block, file rows, columns, number of row ranges,
// then the row ranges and the column ranges, each a first and a count.
WeightSlices slices_of(const Napi::Float64Array& numbers, int64_t& file_rows) {
  constexpr size_t header_numbers = 7;
  const Napi::Env env = numbers.Env();
  require(env, numbers.ElementLength() >= header_numbers, "slices are cut off");
  for (size_t i = 0; i < numbers.ElementLength(); i++)
    require(env, numbers[i] >= 0 && numbers[i] <= 9007199254740992.0, "slices hold an impossible number");
  WeightSlices slices;
  slices.dtype = static_cast<DType>(static_cast<uint32_t>(numbers[0]));
  slices.layout = static_cast<Layout>(static_cast<uint32_t>(numbers[1]));
  slices.block_elements = static_cast<uint32_t>(numbers[2]);
  slices.block_bytes = static_cast<uint32_t>(numbers[3]);
  file_rows = static_cast<int64_t>(numbers[4]);
  slices.columns = static_cast<int64_t>(numbers[5]);
  const double row_numbers = numbers[6] * 2;
  require(env, row_numbers <= static_cast<double>(numbers.ElementLength() - header_numbers), "slices are cut off");
  const double* ranges = numbers.Data() + header_numbers;
  const size_t num_row_numbers = static_cast<size_t>(row_numbers);
  slices.row_ranges.assign(ranges, ranges + num_row_numbers);
  slices.column_ranges.assign(ranges + num_row_numbers, numbers.Data() + numbers.ElementLength());
  if (const char* problem = slices.problem(file_rows)) throw Napi::Error::New(env, problem);
  return slices;
}

struct LoadProgress {
  uint64_t id;
  uint64_t byte_length;
};
struct Drained {};
using Event = std::variant<SubmissionReport, ReadReport, LoadReport, LoadProgress, Drained>;

// First argument of the JavaScript listener; src/native-binding.ts has the same numbers.
enum class EventKind : uint32_t { submission_done = 0, read_done = 1, load_done = 2, load_progress = 3, drained = 4 };

class NativeDevice;

// Outlives the device where the thread-safe function still holds a call.
struct EventQueue {
  std::mutex mutex;
  std::vector<Event> events;
  NativeDevice* device = nullptr;  // JavaScript thread only; nullptr once the device is gone
};

class NativeDevice : public Napi::ObjectWrap<NativeDevice> {
 public:
  static Napi::Function define(Napi::Env env) {
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
                        InstanceMethod<&NativeDevice::allocated_bytes>("allocatedBytes"), InstanceMethod<&NativeDevice::crossings>("crossings")});
  }

  // (isa, threads, listener)
  explicit NativeDevice(const Napi::CallbackInfo& info) : Napi::ObjectWrap<NativeDevice>(info), env_(info.Env()) {
    const std::string isa = info[0].As<Napi::String>();
    const KernelTable* kernels = nullptr;
    for (const KernelTable* table : supported_kernels())
      if (isa == table->isa) kernels = table;
    require(env_, kernels != nullptr, "this processor does not run " + isa);
    const int threads = info[1].As<Napi::Number>().Int32Value();
    require(env_, threads >= 1, "a device needs a thread");

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
      executor_ = std::make_unique<Executor>(*kernels, threads,
                                             Executor::Events{
                                                 .submission_done = [this](SubmissionReport&& report) { post(std::move(report)); },
                                                 .read_done = [this](ReadReport&& report) { post(std::move(report)); },
                                                 .drained =
                                                     [this] {
                                                       store_->stop_and_join();
                                                       post(Drained{});
                                                     },
                                             });
    } catch (const std::system_error&) {
      queue_->device = nullptr;
      napi_release_threadsafe_function(listener_, napi_tsfn_abort);
      throw Napi::Error::New(env_, "the system refuses to start " + std::to_string(threads) + " threads");
    }
    napi_add_env_cleanup_hook(env_, &on_env_teardown, this);
  }

  ~NativeDevice() override { shut_down(); }

 private:
  // Where JavaScript memory is in use, its view is held until the last list or submission has let go of the buffer.
  struct HostMemory {
    std::weak_ptr<Buffer> buffer;
    Napi::ObjectReference view;
  };

  void enter() {
    require(env_, executor_ != nullptr && !disposing_, "the device was disposed");
    crossings_++;
  }

  std::shared_ptr<Buffer> buffer_of(const Napi::Value& handle) {
    std::shared_ptr<Buffer> buffer = buffers_.find(handle.As<Napi::Number>().Uint32Value());
    require(env_, buffer != nullptr, "the buffer was disposed");
    return buffer;
  }

  std::shared_ptr<Buffer> import(const Napi::TypedArray& view) {
    std::shared_ptr<Buffer> buffer = Buffer::import(bytes_of(view), view.ByteLength());
    host_memories_.push_back({buffer, Napi::Persistent(view.As<Napi::Object>())});
    return buffer;
  }

  void drop_unused_host_memories() {
    std::erase_if(host_memories_, [](const HostMemory& memory) { return memory.buffer.expired(); });
  }

  // (byteLength) -> handle, or undefined where the system has no memory
  Napi::Value allocate(const Napi::CallbackInfo& info) {
    enter();
    std::shared_ptr<Buffer> buffer = Buffer::allocate(size_of(info[0]), meter_);
    if (buffer == nullptr) return env_.Undefined();
    return Napi::Number::New(env_, buffers_.add(std::move(buffer)));
  }

  // (view) -> handle
  Napi::Value import_host(const Napi::CallbackInfo& info) {
    enter();
    return Napi::Number::New(env_, buffers_.add(import(info[0].As<Napi::TypedArray>())));
  }

  // (handle)
  void release(const Napi::CallbackInfo& info) {
    enter();
    buffers_.remove(info[0].As<Napi::Number>().Uint32Value());
    drop_unused_host_memories();
  }

  // (handle, byteOffset, bytes)
  void write(const Napi::CallbackInfo& info) {
    enter();
    const std::shared_ptr<Buffer> buffer = buffer_of(info[0]);
    const uint64_t byte_offset = size_of(info[1]);
    const Napi::TypedArray bytes = info[2].As<Napi::TypedArray>();
    require(env_, buffer->holds(byte_offset, bytes.ByteLength()), "a write leaves its buffer");
    if (bytes.ByteLength() > 0) std::memmove(buffer->data() + byte_offset, bytes_of(bytes), bytes.ByteLength());
  }

  // (id, handle, byteOffset, into)
  void read(const Napi::CallbackInfo& info) {
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

  // (words, numbers, counters) -> list handle
  Napi::Value create_list(const Napi::CallbackInfo& info) {
    enter();
    const Napi::Uint32Array words = info[0].As<Napi::Uint32Array>();
    const Napi::Float64Array numbers = info[1].As<Napi::Float64Array>();
    const Napi::Array views = info[2].As<Napi::Array>();
    std::vector<std::shared_ptr<Buffer>> counters;
    for (uint32_t i = 0; i < views.Length(); i++) counters.push_back(import(views.Get(i).As<Napi::TypedArray>()));
    std::string problem;
    std::shared_ptr<const CommandList> list =
        CommandList::decode(words.Data(), words.ElementLength(), numbers.Data(), numbers.ElementLength(), buffers_, std::move(counters), problem);
    require(env_, list != nullptr, problem);
    lists_.emplace(next_list_, std::move(list));
    return Napi::Number::New(env_, next_list_++);
  }

  std::shared_ptr<const CommandList> list_of(const Napi::Value& handle) {
    const auto entry = lists_.find(handle.As<Napi::Number>().Uint32Value());
    require(env_, entry != lists_.end(), "the command list was disposed");
    return entry->second;
  }

  // (list) -> bytes
  Napi::Value list_byte_length(const Napi::CallbackInfo& info) {
    enter();
    return Napi::Number::New(env_, static_cast<double>(list_of(info[0])->byte_length()));
  }

  // (list)
  void release_list(const Napi::CallbackInfo& info) {
    enter();
    lists_.erase(info[0].As<Napi::Number>().Uint32Value());
    drop_unused_host_memories();
  }

  // (id, list, bindings, trace, faultAtCommand or -1)
  void submit(const Napi::CallbackInfo& info) {
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

  // (id)
  void cancel(const Napi::CallbackInfo& info) {
    enter();
    const auto entry = submissions_.find(size_of(info[0]));
    if (entry != submissions_.end()) entry->second->cancelled.store(true);
  }

  // (id, handle, byteOffset, slices, path, fileOffset)
  void load(const Napi::CallbackInfo& info) {
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

  // (id)
  void cancel_load(const Napi::CallbackInfo& info) {
    enter();
    const auto entry = loads_.find(size_of(info[0]));
    if (entry != loads_.end()) entry->second->cancelled.store(true);
  }

  // (handle, byteOffset, slices, firstRow, numRows, fileRows): the rows of one piece, read by the caller
  void store(const Napi::CallbackInfo& info) {
    enter();
    const std::shared_ptr<Buffer> buffer = buffer_of(info[0]);
    const uint64_t byte_offset = size_of(info[1]);
    int64_t file_rows = 0;
    const WeightSlices slices = slices_of(info[2].As<Napi::Float64Array>(), file_rows);
    const uint64_t first_row = size_of(info[3]);
    const uint64_t num_rows = size_of(info[4]);
    const Napi::TypedArray bytes = info[5].As<Napi::TypedArray>();
    const uint64_t total_rows = static_cast<uint64_t>(slices.num_rows());
    require(env_, first_row % rows_per_group == 0 && first_row <= total_rows && num_rows <= total_rows - first_row, "rows leave the weight");
    require(env_, bytes.ByteLength() == num_rows * slices.row_bytes(), "a piece does not have its rows' bytes");
    require(env_, buffer->holds(byte_offset, slices.byte_length()), "a load leaves its buffer");
    store_rows(slices, static_cast<int64_t>(first_row), static_cast<int64_t>(num_rows), bytes_of(bytes), buffer->data() + byte_offset);
  }

  Napi::Value allocated_bytes(const Napi::CallbackInfo&) { return Napi::Number::New(env_, static_cast<double>(meter_->load())); }
  Napi::Value crossings(const Napi::CallbackInfo&) { return Napi::Number::New(env_, static_cast<double>(crossings_)); }

  // Cancels everything; the event `drained` follows once it has been reported and the threads have ended.
  void dispose(const Napi::CallbackInfo&) {
    enter();
    disposing_ = true;
    begin_pending();
    executor_->stop();
  }

  // While something is pending, the event loop stays alive and so does this object.
  void begin_pending() {
    if (num_pending_++ > 0) return;
    napi_ref_threadsafe_function(env_, listener_);
    Ref();
  }

  void end_pending() {
    if (--num_pending_ > 0) return;
    napi_unref_threadsafe_function(env_, listener_);
    Unref();
  }

  // Any thread of this device.
  void post(Event&& event) {
    bool wake = false;
    {
      std::lock_guard lock(queue_->mutex);
      wake = queue_->events.empty();
      queue_->events.push_back(std::move(event));
    }
    if (wake) napi_call_threadsafe_function(listener_, nullptr, napi_tsfn_nonblocking);
  }

  static void on_events(napi_env env, napi_value listener, void* context, void*) {
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

  void deliver(const Napi::Function& listener, Event& event) {
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

  napi_value number(double value) { return Napi::Number::New(env_, value); }
  napi_value kind(EventKind kind) { return number(static_cast<double>(kind)); }

  std::vector<napi_value> arguments_of(SubmissionReport& report) {
    submissions_.erase(report.id);
    drop_unused_host_memories();
    napi_value stretches = env_.Undefined();
    if (!report.stretches_ms.empty()) {
      Napi::Float64Array times = Napi::Float64Array::New(env_, report.stretches_ms.size());
      std::copy(report.stretches_ms.begin(), report.stretches_ms.end(), times.Data());
      stretches = times;
    }
    return {kind(EventKind::submission_done),
            number(static_cast<double>(report.id)),
            number(static_cast<double>(report.outcome)),
            number(static_cast<double>(report.command_index)),
            Napi::String::New(env_, report.op),
            Napi::String::New(env_, report.detail),
            stretches};
  }

  // The caller's memory is filled here, on its own thread: a view that was detached meanwhile is seen instead of written to.
  std::vector<napi_value> arguments_of(ReadReport& report) {
    bool filled = false;
    const auto entry = reads_.find(report.id);
    if (entry != reads_.end()) {
      const Napi::TypedArray into = entry->second.Value().As<Napi::TypedArray>();
      filled = !report.cancelled && into.ByteLength() == report.bytes.size();
      if (filled && !report.bytes.empty()) std::memcpy(bytes_of(into), report.bytes.data(), report.bytes.size());
      reads_.erase(entry);
    }
    drop_unused_host_memories();
    return {kind(EventKind::read_done), number(static_cast<double>(report.id)), Napi::Boolean::New(env_, filled)};
  }

  std::vector<napi_value> arguments_of(LoadReport& report) {
    loads_.erase(report.id);
    return {kind(EventKind::load_done), number(static_cast<double>(report.id)), number(static_cast<double>(report.outcome)),
            number(report.error_number), number(static_cast<double>(report.file_byte_length))};
  }

  std::vector<napi_value> arguments_of(LoadProgress& progress) {
    return {kind(EventKind::load_progress), number(static_cast<double>(progress.id)), number(static_cast<double>(progress.byte_length))};
  }

  std::vector<napi_value> arguments_of(Drained&) { return {kind(EventKind::drained), number(0)}; }

  static void on_env_teardown(void* device) { static_cast<NativeDevice*>(device)->shut_down(); }

  // Ends the threads, cancelling what runs, and frees everything. The second call does nothing.
  void shut_down() {
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

Napi::Value supported_isas(const Napi::CallbackInfo& info) {
  Napi::Array names = Napi::Array::New(info.Env());
  for (const KernelTable* table : supported_kernels()) names.Set(names.Length(), table->isa);
  return names;
}

// (ggml type, rows, columns) -> bytes, or undefined for a type that is never packed
Napi::Value packed_length(const Napi::CallbackInfo& info) {
  const DType dtype = static_cast<DType>(info[0].As<Napi::Number>().Uint32Value());
  if (!can_pack(dtype)) return info.Env().Undefined();
  const int64_t rows = static_cast<int64_t>(size_of(info[1]));
  const int64_t columns = static_cast<int64_t>(size_of(info[2]));
  return Napi::Number::New(info.Env(), static_cast<double>(packed_byte_length(dtype, rows, columns)));
}

Napi::Object initialize(Napi::Env env, Napi::Object exports) {
  exports.Set("NativeDevice", NativeDevice::define(env));
  exports.Set("supportedIsas", Napi::Function::New(env, supported_isas, "supportedIsas"));
  exports.Set("packedByteLength", Napi::Function::New(env, packed_length, "packedByteLength"));
  return exports;
}

}  // namespace
}  // namespace thermocline

static Napi::Object initialize_addon(Napi::Env env, Napi::Object exports) { return thermocline::initialize(env, exports); }

NODE_API_MODULE(thermocline_cpu, initialize_addon)
