#pragma once
#include <napi.h>

namespace thermocline {

// (threads, byteLength, durationMs) -> promise of {bestBytesPerSecond, medianBytesPerSecond, numPasses}, or of undefined where the system has
// no memory of that size
Napi::Value start_read_bandwidth(const Napi::CallbackInfo& info);

}  // namespace thermocline
