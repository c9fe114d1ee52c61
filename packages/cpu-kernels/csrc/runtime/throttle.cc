#include "thermocline/throttle.h"

#include <algorithm>
#include <chrono>
#include <thread>

#include "thermocline/futex.h"

namespace thermocline {
namespace {

// A sleeper looks for a cancellation this often.
constexpr int64_t nap_ns = 200'000;
// A sleep ends some 60 µs late; the end of a wait is spun where a core is free for it, since a hand-over may depend on it.
constexpr int64_t spin_ns = 100'000;
// A thread that was stopped for longer is no measure of how fast it should be now.
constexpr int64_t most_credit_ns = 1'000'000;

void sleep_ns(int64_t duration_ns) { std::this_thread::sleep_for(std::chrono::nanoseconds(duration_ns)); }

}  // namespace

void Throttle::wait_after(int64_t busy_ns, const std::atomic<bool>& cancelled) {
  owed_ns_ += static_cast<int64_t>(static_cast<double>(busy_ns) * idle_share_);
  if (owed_ns_ <= 0) return;
  const int64_t begin_ns = monotonic_ns();
  const int64_t unspun_ns = RunningThreads::oversubscribed() ? owed_ns_ : owed_ns_ - spin_ns;
  int64_t waited_ns = 0;
  while (waited_ns < owed_ns_ && !cancelled.load()) {
    if (waited_ns < unspun_ns) {
      sleep_ns(std::min(unspun_ns - waited_ns, nap_ns));
    } else {
      SpinBudget budget(owed_ns_ - waited_ns);
      while (budget.spend()) {
      }
    }
    waited_ns = monotonic_ns() - begin_ns;
  }
  // What a cancelled list owed dies with it.
  owed_ns_ = std::clamp<int64_t>(owed_ns_ - waited_ns, -most_credit_ns, 0);
}

}  // namespace thermocline
