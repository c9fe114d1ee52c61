/** The protocol of `StepSignal`: values only grow in magnitude, except that a poison replaces its own step's signal. */
import type { StepSignal } from "@thermocline/spec";

export type SignalState = "pending" | "given" | "poisoned";

export function readSignal({ counters, slot }: StepSignal, step: number): SignalState {
  const value = Atomics.load(counters, slot);
  if (value <= -step) return "poisoned";
  return value >= step ? "given" : "pending";
}

/** Raises the slot to `step`, unless another signal or a poison of this step or a later one came first. */
export function giveSignal({ counters, slot }: StepSignal, step: number): void {
  let seen = Atomics.load(counters, slot);
  while (Math.abs(seen) < step) {
    const found = Atomics.compareExchange(counters, slot, seen, step);
    if (found === seen) break;
    seen = found;
  }
  Atomics.notify(counters, slot);
}

/** Raises the slot's magnitude to `step` as a poison, also over a signal of this very step. */
export function poisonSignal({ counters, slot }: StepSignal, step: number): void {
  let seen = Atomics.load(counters, slot);
  while (Math.abs(seen) < step || seen === step) {
    const found = Atomics.compareExchange(counters, slot, seen, -step);
    if (found === seen) break;
    seen = found;
  }
  Atomics.notify(counters, slot);
}
