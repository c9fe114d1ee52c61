/** The protocol of spec's `StepSignal`: how lists of different devices hand over within a step. */
import type { StepSignal } from "@thermocline/spec";

/** Raises the slot to the step, unless a signal or poison of it came first. */
export function give({ counters, slot }: StepSignal, step: number): void {
  for (let seen = Atomics.load(counters, slot); Math.abs(seen) < step; seen = Atomics.load(counters, slot))
    Atomics.compareExchange(counters, slot, seen, step);
}

/** Raises the slot's magnitude to the step as a negative number, also over a signal of this step. */
export function poison({ counters, slot }: StepSignal, step: number): void {
  for (let seen = Atomics.load(counters, slot); Math.abs(seen) < step || seen === step; seen = Atomics.load(counters, slot))
    Atomics.compareExchange(counters, slot, seen, -step);
}

/** Polls between turns of the event loop until the step was signalled, poisoned, or is not wanted any more. */
export async function waitFor({ counters, slot }: StepSignal, step: number, isCancelled: () => boolean) {
  for (;;) {
    const seen = Atomics.load(counters, slot);
    if (seen >= step) return undefined;
    if (seen <= -step) return "poisoned";
    if (isCancelled()) return "cancelled";
    await new Promise((resolve) => setImmediate(resolve));
  }
}
