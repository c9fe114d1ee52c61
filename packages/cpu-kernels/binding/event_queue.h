// What a device has to tell JavaScript, and where it waits for the JavaScript thread.
#pragma once
#include <cstdint>
#include <mutex>
#include <variant>
#include <vector>

#include "thermocline/executor.h"
#include "thermocline/weight_store.h"

namespace thermocline {

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

}  // namespace thermocline
