/** The prices of the devices' bytes at which the Lagrangian bound is highest, by cutting planes; and the placements met on the way. */
import { bytesOfChoices, type Choice, chainSeconds } from "../pricing/choice.js";
import type { PricedProblem } from "../pricing/priced-problem.js";
import type { ChainPricing, PricedChain } from "./chain-pricing.js";
import { maximize } from "./tiny-linear-program.js";

const maxRounds = 60;
/** Of all bytes that a device could have to hold, in the seconds of the slowest placement. */
const maxPrice = 1000;

export interface Candidate {
  readonly choices: readonly Choice[];
  readonly seconds: number;
  /** By device; may be more than the budgets. */
  readonly bytes: Float64Array;
}

export interface DevicePrices {
  /** No placement within the budgets takes fewer seconds. */
  readonly boundSeconds: number;
  /** Seconds per byte, by device. */
  readonly prices: Float64Array;
  readonly chain: PricedChain;
  /** Met on the way; those that the optimum of the relaxation mixes come first. */
  readonly candidates: readonly Candidate[];
}

/** No placement takes longer. */
export function worstSeconds({ units, handOver }: PricedProblem): number {
  const handOvers = handOver.reduce((sum, links) => sum + 2 * Math.max(...links.flat()), 0);
  return units.reduce((sum, { wholeSeconds }) => sum + Math.max(...wholeSeconds.filter(Number.isFinite)) + handOvers, 0);
}

export function candidateOf(problem: PricedProblem, choices: readonly Choice[]): Candidate {
  return { choices, seconds: chainSeconds(problem, choices), bytes: bytesOfChoices(problem, choices) };
}

/** Raises the bound until it is within `tolerance`, relative, of the best one that any prices give. */
export function findDevicePrices(pricing: ChainPricing, tolerance: number): DevicePrices {
  const { problem } = pricing;
  const { budgetBytes, numDevices, units } = problem;
  const mostBytes = new Float64Array(numDevices);
  for (const { wholeBytes } of units) for (let device = 0; device < numDevices; device++) mostBytes[device]! += wholeBytes[device]!;
  // A budget that holds everything needs no price.
  const priced = [...mostBytes.keys()].filter((device) => mostBytes[device]! * 1.5 + 1 > budgetBytes[device]!);
  const scales = priced.map((device) => Math.max(1, mostBytes[device]!));
  const worst = worstSeconds(problem);
  const scale = Math.max(worst, Number.MIN_VALUE);

  const candidates: Candidate[] = [];
  let prices = new Float64Array(numDevices);
  let best: { boundSeconds: number; prices: Float64Array; chain: PricedChain } | undefined;
  let weights = new Float64Array(0);
  for (let round = 0; round < maxRounds; round++) {
    const chain = pricing.price(prices);
    const boundSeconds = Math.min(...chain.costToGo[0]!) - priced.reduce((sum, device) => sum + prices[device]! * budgetBytes[device]!, 0);
    if (best === undefined || boundSeconds > best.boundSeconds) best = { boundSeconds, prices, chain };
    const candidate = candidateOf(problem, chain.choices);
    const isNew = !candidates.some(
      ({ seconds, bytes }) => seconds === candidate.seconds && bytes.every((value, index) => value === candidate.bytes[index]),
    );
    if (isNew) candidates.push(candidate);
    if (!isNew && round > 0) break;
    const rows = candidates.map(({ bytes }) => [
      1,
      ...priced.map((device, index) => (budgetBytes[device]! - bytes[device]!) / scales[index]!),
    ]);
    const limits = candidates.map(({ seconds }) => seconds / scale);
    const caps = priced.map((_, index) => [0, ...priced.map((_, other) => (other === index ? 1 : 0))]);
    const solved = maximize([1, ...priced.map(() => 0)], [...rows, ...caps], [...limits, ...caps.map(() => maxPrice)]);
    if (solved === undefined) break;
    weights = Float64Array.from(solved.weights.subarray(0, candidates.length));
    if (solved.objective * scale - best.boundSeconds <= tolerance * Math.abs(best.boundSeconds)) break;
    prices = new Float64Array(numDevices);
    for (const [index, device] of priced.entries()) prices[device] = (solved.variables[1 + index]! * scale) / scales[index]!;
  }
  const byWeight = candidates.map((candidate, index) => ({ candidate, weight: weights[index] ?? 0 })).sort((a, b) => b.weight - a.weight);
  // Floating-point sums over the chain may be off by a few units in the last place for each unit.
  const boundSeconds = best!.boundSeconds - Math.abs(best!.boundSeconds) * 1e-12 - worst * Number.EPSILON * units.length;
  return { ...best!, boundSeconds: Math.max(0, boundSeconds), candidates: byWeight.map(({ candidate }) => candidate) };
}
