/** Seconds that a device computes for its part of a unit: the formulas that `OffloadProblem` documents. */
import {
  type DeviceRates,
  type IndexRange,
  numElementsIn,
  type OffloadUnit,
  type RateByDType,
  type UnitBytes,
  type UnitWeights,
} from "@thermocline/spec";
import type { Phase } from "./phases.js";

/** Sums over the rows of a part, each divided by the unit's number of rows: a whole unit has the share 1. */
export interface RowShares {
  readonly share: number;
  /** Of frequencies. */
  readonly frequency: number;
  /** Of chances that one of a step's tokens activates the row. */
  readonly activation: number;
}

/** Tokens that meet the unit's weights in a step. */
export function tokensAt(unit: Pick<OffloadUnit, "kind">, phase: Phase): number {
  return unit.kind === "head" ? phase.sequences : phase.tokens;
}

/** Chance that a row of frequency f is active for at least one of so many tokens. */
export function activationChance(frequency: number, tokens: number): number {
  return tokens === 1 ? frequency : 1 - (1 - frequency) ** tokens;
}

/** `ranges` absent: all rows. */
export function rowSharesOf(unit: OffloadUnit, tokens: number, ranges?: readonly IndexRange[]): RowShares {
  const { rows, activationFrequency } = unit;
  const frequencies = rows?.activationFrequencies;
  const parts = ranges ?? [[0, rows?.count ?? 1] as const];
  const count = rows?.count ?? 1;
  if (frequencies === undefined) {
    const share = parts.reduce((sum, [, length]) => sum + length, 0) / count;
    return { share, frequency: share * activationFrequency, activation: share * activationChance(activationFrequency, tokens) };
  }
  let numRows = 0;
  let frequency = 0;
  let activation = 0;
  for (const [first, length] of parts) {
    numRows += length;
    for (let row = first; row < first + length; row++) {
      frequency += frequencies[row]!;
      activation += activationChance(frequencies[row]!, tokens);
    }
  }
  return { share: numRows / count, frequency: frequency / count, activation: activation / count };
}

export function rateOf(rates: RateByDType, { dtype }: Pick<UnitWeights, "dtype">): number {
  return rates[dtype] ?? rates.other;
}

/** Seconds to read the weights of one dtype, and seconds of their products: the part takes the longer of the two. */
export function weightSeconds(
  weights: UnitWeights,
  rates: DeviceRates,
  tokens: number,
  { share, frequency, activation }: RowShares,
): readonly [read: number, multiply: number] {
  const { dtype, alwaysBytes, conditionalBytes } = weights;
  const bytes = alwaysBytes * share + conditionalBytes * activation;
  const multiplyAdds = tokens * (numElementsIn(dtype, alwaysBytes) * share + numElementsIn(dtype, conditionalBytes) * frequency);
  return [bytes / rateOf(rates.weightBytesPerSecond, weights), (2 * multiplyAdds) / rateOf(rates.operationsPerSecond, weights)];
}

/** Of one step, the unit's commands and, on average over the phase's depths, its KV cache and state included. */
export function partSeconds(
  unit: OffloadUnit,
  bytes: UnitBytes | undefined,
  rates: DeviceRates,
  phase: Phase,
  shares: RowShares = rowSharesOf(unit, tokensAt(unit, phase)),
): number {
  const tokens = tokensAt(unit, phase);
  const weights = unit.weights.reduce((sum, entry) => sum + Math.max(...weightSeconds(entry, rates, tokens, shares)), 0);
  return weights + cacheSeconds(unit, bytes, rates, phase) + unit.numCommands * rates.commandSeconds;
}

function cacheSeconds({ kvCache }: OffloadUnit, bytes: UnitBytes | undefined, rates: DeviceRates, phase: Phase): number {
  if (kvCache === undefined || phase.numSteps === 0) return 0;
  const { slidingWindow = Number.POSITIVE_INFINITY, multiplyAddsPerCachedToken, stateBytesPerSequence } = kvCache;
  const { depths, sequences, tokens } = phase;
  let seconds = 0;
  for (const depth of depths) {
    const seen = Math.min(depth, slidingWindow);
    const read = sequences * (seen * (bytes?.kvBytesPerToken ?? 0) + 2 * stateBytesPerSequence);
    const multiplyAdds = tokens * seen * multiplyAddsPerCachedToken;
    seconds += Math.max(read / rates.kvBytesPerSecond, (2 * multiplyAdds) / rates.attentionOperationsPerSecond);
  }
  return seconds / depths.length;
}
