// Makes a device slower by a factor, to measure placements on devices of unequal speed where all processors are alike.
#pragma once
#include <atomic>
#include <cstdint>

namespace thermocline {

// One thread's. Results stay as they are: it only waits.
class Throttle {
 public:
  // `factor` >= 1; 1 never waits.
  explicit Throttle(double factor) : idle_share_(factor - 1) {}
  bool active() const { return idle_share_ > 0; }
  // After work of busy_ns: waits factor - 1 times as long, or until shortly (about 0.2 ms) after `cancelled` was set. Time by which a wait
  // was too long is taken off the next ones, so that rates are right even where the system wakes late.
  void wait_after(int64_t busy_ns, const std::atomic<bool>& cancelled);

 private:
  double idle_share_;
  int64_t owed_ns_ = 0;
};

}  // namespace thermocline
