/** Repeated measurements of one quantity. */
import { assert } from "@thermocline/spec";

export interface Samples {
  readonly median: number;
  readonly least: number;
  readonly most: number;
  readonly numSamples: number;
}

/** Of at least one value. */
export function samplesOf(values: readonly number[]): Samples {
  assert(values.length > 0, "a quantity without measurements");
  const sorted = [...values].sort((a, b) => a - b);
  const middle = (sorted.length - 1) / 2;
  const median = (sorted[Math.floor(middle)]! + sorted[Math.ceil(middle)]!) / 2;
  return { median, least: sorted[0]!, most: sorted.at(-1)!, numSamples: sorted.length };
}

/** Of a rate: so many units in each of the measured times. */
export function rateSamples(units: number, seconds: readonly number[]): Samples {
  return samplesOf(seconds.map((time) => units / time));
}
