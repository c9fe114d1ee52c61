// The protocol of one signal slot.
#include "runtime_check.h"

#include <atomic>
#include <cstdio>

#include "thermocline/step_signal.h"

namespace thermocline::runtime_check {

void check_protocol() {
  const std::atomic<bool> running{false};
  std::atomic<bool> cancelled{true};
  int32_t value = 0;
  raise_signal(&value, 3);
  expect(value == 3, "a signal raises");
  raise_signal(&value, 2);
  expect(value == 3, "a signal never lowers");
  poison_signal(&value, 2);
  expect(value == 3, "a poison of an earlier step leaves a later signal");
  poison_signal(&value, 3);
  expect(value == -3, "a poison goes over the signal of its step");
  raise_signal(&value, 3);
  expect(value == -3, "a signal does not undo the poison of its step");
  expect(wait_for_signal(&value, 3, running) == WaitOutcome::poisoned, "the poison of a step is seen");
  expect(wait_for_signal(&value, 2, running) == WaitOutcome::poisoned, "a later poison is seen");
  expect(wait_for_signal(&value, 4, cancelled) == WaitOutcome::cancelled, "a cancelled wait leaves");
  raise_signal(&value, 4);
  expect(wait_for_signal(&value, 4, running) == WaitOutcome::passed && wait_for_signal(&value, 3, running) == WaitOutcome::passed,
         "this step's and a later signal are seen");
  value = 0;
  poison_signal(&value, INT32_MAX);
  expect(value == -INT32_MAX, "the last step can be poisoned");
  poison_signal(&value, 5);
  raise_signal(&value, 6);
  expect(value == -INT32_MAX, "nothing comes after the last step");
  std::puts("protocol: raise, poison, wait");
}

}  // namespace thermocline::runtime_check
