#include "calibration_worker.h"

#include "calibration/calibrate_device.h"

namespace thermocline::cuda {
namespace {

class CalibrationWorker : public Napi::AsyncWorker {
 public:
  CalibrationWorker(Napi::Env env, const CalibrationOptions& options)
      : Napi::AsyncWorker(env), options_(options), deferred_(Napi::Promise::Deferred::New(env)) {}

  Napi::Promise promise() const { return deferred_.Promise(); }

 protected:
  void Execute() override { calibration_ = calibrate_device(options_); }

  void OnOK() override {
    const Napi::Env env = Env();
    Napi::Array figures = Napi::Array::New(env);
    for (uint32_t index = 0; index < calibration_.figures.size(); ++index) {
      const Figure& figure = calibration_.figures[index];
      Napi::Object object = Napi::Object::New(env);
      object.Set("quantity", figure.quantity);
      object.Set("median", figure.median);
      object.Set("least", figure.least);
      object.Set("most", figure.most);
      object.Set("numSamples", figure.num_samples);
      figures.Set(index, object);
    }
    Napi::Object result = Napi::Object::New(env);
    result.Set("figures", figures);
    result.Set("contextBytes", static_cast<double>(calibration_.context_bytes));
    result.Set("contextIsUpperBound", calibration_.context_is_upper_bound);
    result.Set("handOverMethod", calibration_.hand_over_method);
    result.Set("problem", calibration_.problem);
    deferred_.Resolve(result);
  }

 private:
  CalibrationOptions options_;
  Calibration calibration_;
  Napi::Promise::Deferred deferred_;
};

}  // namespace

Napi::Value calibrate(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (info.Length() != 1 || !info[0].IsNumber()) throw Napi::TypeError::New(env, "calibrate takes a device index");
  CalibrationOptions options;
  options.device_index = info[0].As<Napi::Number>().Int32Value();
  // Node deletes it when it has answered.
  CalibrationWorker* const worker = new CalibrationWorker(env, options);
  worker->Queue();
  return worker->promise();
}

}  // namespace thermocline::cuda
