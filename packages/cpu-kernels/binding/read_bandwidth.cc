// measureReadBandwidth: off the JavaScript thread, with a promise.
#include "read_bandwidth.h"

#include <memory>
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
      : Napi::AsyncWorker(env, "thermocline read bandwidth"),
        deferred_(Napi::Promise::Deferred::New(env)),
        threads_(threads),
        byte_length_(byte_length),
        duration_ms_(duration_ms) {}

  Napi::Value promise() const { return deferred_.Promise(); }

 protected:
  void Execute() override {
    try {
      result_ = measure_read_bandwidth(*supported_kernels().front(), threads_, byte_length_, duration_ms_);
    } catch (const std::system_error&) {
      SetError("the system refuses to start " + std::to_string(threads_) + " threads");
    }
  }
  void OnOK() override {
    if (!result_) return deferred_.Resolve(Env().Undefined());
    Napi::Object measured = Napi::Object::New(Env());
    measured.Set("bestBytesPerSecond", result_->best_bytes_per_second);
    measured.Set("medianBytesPerSecond", result_->median_bytes_per_second);
    measured.Set("numPasses", static_cast<double>(result_->num_passes));
    deferred_.Resolve(measured);
  }
  void OnError(const Napi::Error& error) override { deferred_.Reject(error.Value()); }

 private:
  Napi::Promise::Deferred deferred_;
  int threads_;
  size_t byte_length_;
  double duration_ms_;
  std::optional<ReadBandwidth> result_;
};

}  // namespace

Napi::Value start_read_bandwidth(const Napi::CallbackInfo& info) {
  const int threads = info[0].As<Napi::Number>().Int32Value();
  require(info.Env(), threads >= 1, "a measurement needs a thread");
  auto* measurement = new Measurement(info.Env(), threads, size_of(info[1]), info[2].As<Napi::Number>().DoubleValue());
  const Napi::Value promise = measurement->promise();
  measurement->Queue();  // which deletes it when it is done
  return promise;
}

}  // namespace thermocline
