#pragma once
#include <napi.h>

namespace thermocline::cuda {

// calibrate(deviceIndex): a promise of plain figures. Runs off the JavaScript thread and rejects nothing: `problem` says what failed.
Napi::Value calibrate(const Napi::CallbackInfo& info);

}  // namespace thermocline::cuda
