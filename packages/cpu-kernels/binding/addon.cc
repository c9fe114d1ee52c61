// What the module exports. This folder is the seam to Node: nothing outside it includes napi.h.
#include <napi.h>

#include "arguments.h"
#include "native_device.h"
#include "read_bandwidth.h"
#include "thermocline/instruction_set.h"
#include "thermocline/kernel_table.h"

namespace thermocline {
namespace {

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
  exports.Set("measureReadBandwidth", Napi::Function::New(env, start_read_bandwidth, "measureReadBandwidth"));
  return exports;
}

}  // namespace
}  // namespace thermocline

static Napi::Object initialize_addon(Napi::Env env, Napi::Object exports) { return thermocline::initialize(env, exports); }

NODE_API_MODULE(thermocline_cpu, initialize_addon)
