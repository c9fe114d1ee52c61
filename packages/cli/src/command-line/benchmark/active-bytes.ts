import type { OffloadUnit } from "@thermocline/spec";

/** Bytes of weights that one decoded token reads, as the file holds them: of the embedding a row, of experts those that are expected. */
export function activeBytesPerToken(units: readonly OffloadUnit[]): number {
  let sum = 0;
  for (const { weights, activationFrequency } of units) {
    for (const { alwaysBytes, conditionalBytes } of weights) sum += alwaysBytes + conditionalBytes * activationFrequency;
  }
  return sum;
}
