// measureReadBandwidth: off the JavaScript thread, with a promise.
#include "read_bandwidth.h"

#include <new>
#include <optional>
#include <string>
#include <system_error>

#include "arguments.h"
#include "thermocline/instruction_set.h"
#include "thermocline/read_bandwidth.h"

namespace thermocline {
namespace {

class Measurement final : public Napi::AsyncWorker {
 public:
  Measurement(const Napi::Env& env, int threads, size_t byte_length, double duration_ms)
      : Napi::AsyncWorker(env, "thermocline read bandwidth"), threads_(threads), byte_length_(byte_length), duration_ms_(duration_ms) {}

  // The promise of the figures. To be called once: the measurement deletes itself when it is done.
  Napi::Value start() {
    const Napi::Env env = Env();
    napi_value promise = nullptr;
    const napi_status status = napi_create_promise(env, &deferred_, &promise);
    if (status != napi_ok) Destroy();
    require(env, status == napi_ok, "the promise cannot be made");
    Queue();
    return Napi::Value(env, promise);
  }

  // An environment that ends meanwhile, as that of a terminated worker does, runs no JavaScript any more. Its calls then fail, which
  // Napi's classes would answer with an exception that nobody can catch: hence the C interface, and no answer where there is nobody to hear it.
  void OnWorkComplete(Napi::Env env, napi_status) override {
    napi_handle_scope scope = nullptr;
    if (napi_open_handle_scope(env, &scope) == napi_ok) {
      settle(env);
      napi_close_handle_scope(env, scope);
    }
    Destroy();
  }

 protected:
  void Execute() override {
    try {
      result_ = measure_read_bandwidth(*supported_kernels().front(), threads_, byte_length_, duration_ms_);
    } catch (const std::system_error&) {
      problem_ = "the system refuses to start " + std::to_string(threads_) + " threads";
    } catch (const std::bad_alloc&) {
      problem_ = "the system has no memory for the figures of the passes";
    }
  }

 private:
  void settle(napi_env env) const {
    napi_value value = nullptr;
    if (!problem_.empty()) {
      napi_value message = nullptr;
      if (napi_create_string_utf8(env, problem_.data(), problem_.size(), &message) != napi_ok) return;
      if (napi_create_error(env, nullptr, message, &value) == napi_ok) napi_reject_deferred(env, deferred_, value);
      return;
    }
    if (result_) {
      if (napi_create_object(env, &value) != napi_ok) return;
      set(env, value, "bestBytesPerSecond", result_->best_bytes_per_second);
      set(env, value, "medianBytesPerSecond", result_->median_bytes_per_second);
      set(env, value, "numPasses", static_cast<double>(result_->num_passes));
    } else if (napi_get_undefined(env, &value) != napi_ok) {
      return;
    }
    napi_resolve_deferred(env, deferred_, value);
  }

  static void set(napi_env env, napi_value object, const char* name, double number) {
    napi_value value = nullptr;
    if (napi_create_double(env, number, &value) == napi_ok) napi_set_named_property(env, object, name, value);
  }

  napi_deferred deferred_ = nullptr;
  int threads_;
  size_t byte_length_;
  double duration_ms_;
  std::optional<ReadBandwidth> result_;
  std::string problem_;
};

}  // namespace

Napi::Value start_read_bandwidth(const Napi::CallbackInfo& info) {
  const int threads = info[0].As<Napi::Number>().Int32Value();
  require(info.Env(), threads >= 1, "a measurement needs a thread");
  auto* measurement = new Measurement(info.Env(), threads, size_of(info[1]), info[2].As<Napi::Number>().DoubleValue());
  return measurement->start();
}

}  // namespace thermocline
