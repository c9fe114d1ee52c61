// Hand-overs between devices: the protocol that @thermocline/spec documents at `StepSignal`.
#pragma once
#include <atomic>
#include <cstdint>

namespace thermocline {

enum class WaitOutcome { passed, poisoned, cancelled };

// Raises the counter to `step`, unless its magnitude is there already. Everything written before is visible to who waits for it.
void raise_signal(int32_t* value, int32_t step);

// Raises the magnitude to `step` as -step, also over +step.
void poison_signal(int32_t* value, int32_t step);

// Returns once the counter has reached `step` or a poison of it, or soon (within about 0.2 ms) after `cancelled` was set.
WaitOutcome wait_for_signal(int32_t* value, int32_t step, const std::atomic<bool>& cancelled);

}  // namespace thermocline
