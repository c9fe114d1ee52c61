// What Node sees: plain values in, plain objects out. Keeps no state, so any number of workers may load it.
#include <napi.h>

#include "calibration_worker.h"
#include "device_probe.h"
#include "self_test.h"

namespace {

using thermocline::cuda::Probe;
using thermocline::cuda::SelfTest;

Napi::Value probe(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const Probe found = thermocline::cuda::probe_devices();
  Napi::Array devices = Napi::Array::New(env);
  for (uint32_t index = 0; index < found.devices.size(); ++index) {
    const auto& device = found.devices[index];
    Napi::Object object = Napi::Object::New(env);
    object.Set("name", device.name);
    object.Set("totalBytes", static_cast<double>(device.total_bytes));
    object.Set("computeMajor", device.compute_major);
    object.Set("computeMinor", device.compute_minor);
    object.Set("multiprocessors", device.multiprocessors);
    devices.Set(index, object);
  }
  Napi::Object result = Napi::Object::New(env);
  result.Set("devices", devices);
  result.Set("driverVersion", found.driver_version);
  result.Set("runtimeVersion", found.runtime_version);
  result.Set("reason", found.reason);
  return result;
}

Napi::Value self_test(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (info.Length() != 1 || !info[0].IsNumber()) throw Napi::TypeError::New(env, "selfTest takes a device index");
  const SelfTest result = thermocline::cuda::run_self_test(info[0].As<Napi::Number>().Int32Value());
  Napi::Object object = Napi::Object::New(env);
  object.Set("expected", static_cast<double>(result.expected));
  object.Set("actual", static_cast<double>(result.actual));
  object.Set("problem", result.problem);
  return object;
}

Napi::Object initialize(Napi::Env env, Napi::Object exports) {
  exports.Set("probe", Napi::Function::New(env, probe));
  exports.Set("selfTest", Napi::Function::New(env, self_test));
  exports.Set("calibrate", Napi::Function::New(env, thermocline::cuda::calibrate));
  return exports;
}

}  // namespace

NODE_API_MODULE(thermocline_cuda, initialize)
