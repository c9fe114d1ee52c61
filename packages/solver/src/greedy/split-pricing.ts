/**
 * A unit with rows, alone: which device gets which of its groups where bytes have prices. The linear relaxation gives a lower bound; its
 * solution, rounded, a choice.
 *
 * The unit takes the longest leg of each phase. Weights on the legs, which add up to 1 in a phase, turn the maximum into a sum, and then
 * every group goes where it costs least: a lower bound for any weights. The best weights are found by cutting planes; the assignments that
 * were met, mixed by the duals, are the relaxation's solution.
 */
import { numPhases, type PricedProblem, type PricedUnit } from "../pricing/priced-problem.js";
import type { PricedPart, PricedRows } from "../pricing/priced-rows.js";
import { maximize } from "./tiny-linear-program.js";

/** With more devices than this, one relaxation stands for all subsets of them. */
const maxDevicesOfSubsets = 4;
const maxRounds = 40;
/** Assignments beyond these are forgotten unless the last solution is made of them. */
const maxKnown = 24;
const tolerance = 1e-7;

/** Every class on one device each. */
interface Assignment {
  /** By class: index among the subset's members. */
  readonly owners: Uint8Array;
  /** By member; by phase and member. */
  readonly bytes: Float64Array;
  readonly seconds: readonly Float64Array[];
}

interface Member {
  /** Index among the parts of `PricedRows`. */
  readonly part: number;
  readonly device: number;
  readonly fixedBytes: number;
  readonly bytes: Float64Array;
  readonly fixedSeconds: readonly number[];
  readonly seconds: readonly Float64Array[];
}

interface Subset {
  readonly members: readonly Member[];
  known: Assignment[];
  /** Weights of the legs, by phase and member, that were the best ones for the prices before. */
  legs: Float64Array[];
}

export interface PricedSplit {
  /** No split of the unit takes fewer seconds, prices of its bytes included. */
  readonly bound: number;
  /** The relaxation's solution, rounded: groups by part and class. */
  readonly counts: readonly Int32Array[];
}

/** Splits of one unit, and of those alike, with the residual stream at `home`. Keeps what it learns from one set of prices to the next. */
export class SplitPricing {
  readonly #subsets: readonly Subset[];

  constructor(
    problem: PricedProblem,
    readonly unit: PricedUnit,
    home: number,
  ) {
    const rows = unit.rows!;
    const able = rows.parts.map((_, index) => index);
    const isRelaxed = able.length > maxDevicesOfSubsets;
    const subsets = isRelaxed ? [able] : subsetsOf(able);
    this.#subsets = subsets.map((parts) => ({
      members: parts.map((part) => memberOf(problem, rows, part, home, isRelaxed)),
      known: [],
      legs: Array.from({ length: numPhases }, () => new Float64Array(parts.length).fill(1 / parts.length)),
    }));
  }

  /** `prices`: seconds per byte, by device. */
  price(prices: Float64Array): PricedSplit {
    let bound = Number.POSITIVE_INFINITY;
    let counts: readonly Int32Array[] = [];
    for (const subset of this.#subsets) {
      const relaxed = relax(subset, this.unit.rows!, prices);
      if (relaxed.bound >= bound) continue;
      bound = relaxed.bound;
      counts = roundMixture(this.unit.rows!, subset, relaxed.weights);
    }
    return { bound, counts };
  }
}

function subsetsOf(able: readonly number[]): readonly (readonly number[])[] {
  const subsets: number[][] = [];
  for (let mask = 1; mask < 1 << able.length; mask++) {
    const members = able.filter((_, bit) => (mask & (1 << bit)) !== 0);
    if (members.length >= 2) subsets.push(members);
  }
  return subsets;
}

/** In the relaxation of all subsets at once, a part takes its fixed bytes and seconds by the share of groups that it has. */
function memberOf({ handOver }: PricedProblem, rows: PricedRows, index: number, home: number, isRelaxed: boolean): Member {
  const part = rows.parts[index]!;
  const { device } = part;
  const fixed = handOver.map((links, phase) => part.fixedSeconds[phase]! + links[home]![device]! + links[device]![home]!);
  const spread = (values: Float64Array, extra: number) => (isRelaxed ? values.map((value) => value + extra / rows.numGroups) : values);
  return {
    part: index,
    device,
    fixedBytes: isRelaxed ? 0 : part.fixedBytes,
    bytes: spread(part.bytes, part.fixedBytes),
    fixedSeconds: isRelaxed ? fixed.map(() => 0) : fixed,
    seconds: fixed.map((extra, phase) => spread(linearSeconds(part, phase, rows), extra)),
  };
}

/** Of two times of which the longer counts, the one that is longer for all rows together: never more than what counts. */
function linearSeconds({ seconds, pairs }: PricedPart, phase: number, { classes }: PricedRows): Float64Array {
  const sum = Float64Array.from(seconds[phase]!);
  for (const { read, multiply } of pairs[phase]!) {
    const total = (values: Float64Array) => values.reduce((all, value, index) => all + value * classes[index]!.length, 0);
    const longer = total(read) >= total(multiply) ? read : multiply;
    for (const [index, value] of longer.entries()) sum[index]! += value;
  }
  return sum;
}

function relax(subset: Subset, rows: PricedRows, prices: Float64Array): { bound: number; weights: Float64Array } {
  const { members } = subset;
  const numLegs = numPhases * (members.length - 1);
  // The last member's weight is what is left to 1.
  const sums = Array.from({ length: numPhases }, (_, phase) => [
    0,
    ...Array.from({ length: numLegs }, (_, index) => (Math.floor(index / (members.length - 1)) === phase ? 1 : 0)),
  ]);
  const objective = [1, ...new Array<number>(numLegs).fill(0)];
  let bound = Number.NEGATIVE_INFINITY;
  let weights = new Float64Array(0);
  for (let round = 0; round < maxRounds; round++) {
    const { assignment, value } = assign(members, rows, prices, subset.legs);
    if (value > bound) bound = value;
    const isNew = !subset.known.some(({ owners }) => equals(owners, assignment.owners));
    if (isNew) subset.known.push(assignment);
    const scale = Math.max(bound, Number.MIN_VALUE);
    const cuts = subset.known.map((entry) => cutOf(entry, members, prices, scale));
    const solved = maximize(objective, [...cuts.map(({ row }) => row), ...sums], [...cuts.map(({ limit }) => limit), ...sums.map(() => 1)]);
    if (solved === undefined) break;
    weights = Float64Array.from(solved.weights.subarray(0, subset.known.length));
    if (solved.objective * scale - bound <= tolerance * scale || (!isNew && round > 0)) break;
    subset.legs = subset.legs.map((_, phase) => legWeights(solved.variables, phase, members.length));
  }
  if (subset.known.length > maxKnown) {
    const used = subset.known.map((_, index) => (weights[index] ?? 0) > 0);
    subset.known = subset.known.filter((_, index) => used[index]);
    weights = weights.filter((weight) => weight > 0);
  }
  return { bound, weights };
}

function legWeights(variables: Float64Array, phase: number, numMembers: number): Float64Array {
  const own = Float64Array.from({ length: numMembers }, (_, member) =>
    member < numMembers - 1 ? variables[1 + phase * (numMembers - 1) + member]! : 0,
  );
  own[numMembers - 1] = Math.max(0, 1 - own.reduce((sum, weight) => sum + weight, 0));
  return own;
}

/** value <= limit − row · weights, with the value as the first variable. */
function cutOf({ seconds, bytes }: Assignment, members: readonly Member[], prices: Float64Array, scale: number) {
  const last = members.length - 1;
  let limit = 0;
  for (const [index, { device }] of members.entries()) limit += bytes[index]! * prices[device]!;
  const row = [1];
  for (const phase of seconds) {
    limit += phase[last]!;
    for (let member = 0; member < last; member++) row.push((phase[last]! - phase[member]!) / scale);
  }
  return { row, limit: limit / scale };
}

function assign(members: readonly Member[], { classes }: PricedRows, prices: Float64Array, legs: readonly Float64Array[]) {
  const owners = new Uint8Array(classes.length);
  const bytes = Float64Array.from(members, ({ fixedBytes }) => fixedBytes);
  const seconds = legs.map((_, phase) => Float64Array.from(members, ({ fixedSeconds }) => fixedSeconds[phase]!));
  let value = 0;
  for (const [index, { device, fixedBytes, fixedSeconds }] of members.entries()) {
    value += fixedBytes * prices[device]!;
    for (const [phase, weights] of legs.entries()) value += weights[index]! * fixedSeconds[phase]!;
  }
  const [prefill, decode] = legs as [Float64Array, Float64Array];
  for (let index = 0; index < classes.length; index++) {
    let owner = 0;
    let least = Number.POSITIVE_INFINITY;
    for (let member = 0; member < members.length; member++) {
      const { device, bytes: groupBytes, seconds: groupSeconds } = members[member]!;
      const cost =
        prefill[member]! * groupSeconds[0]![index]! + decode[member]! * groupSeconds[1]![index]! + prices[device]! * groupBytes[index]!;
      if (cost < least) [owner, least] = [member, cost];
    }
    const count = classes[index]!.length;
    const { bytes: groupBytes, seconds: groupSeconds } = members[owner]!;
    owners[index] = owner;
    value += count * least;
    bytes[owner]! += count * groupBytes[index]!;
    for (let phase = 0; phase < numPhases; phase++) seconds[phase]![owner]! += count * groupSeconds[phase]![index]!;
  }
  return { assignment: { owners, bytes, seconds } satisfies Assignment, value };
}

function equals(a: Uint8Array, b: Uint8Array): boolean {
  for (let index = 0; index < a.length; index++) if (a[index] !== b[index]) return false;
  return true;
}

/** Groups by the mixture's shares, class after class; what rounding takes from a device it gets back with the next group. */
function roundMixture({ classes, parts }: PricedRows, { members, known }: Subset, weights: Float64Array): readonly Int32Array[] {
  const counts = parts.map(() => new Int32Array(classes.length));
  const owed = new Float64Array(members.length);
  for (let index = 0; index < classes.length; index++) {
    const size = classes[index]!.length;
    for (const [column, weight] of weights.entries()) owed[known[column]!.owners[index]!]! += weight * size;
    for (let left = size; left > 0; ) {
      let owner = 0;
      for (let member = 1; member < members.length; member++) if (owed[member]! > owed[owner]!) owner = member;
      const taken = Math.min(left, Math.max(1, Math.floor(owed[owner]!)));
      counts[members[owner]!.part]![index]! += taken;
      owed[owner]! -= taken;
      left -= taken;
    }
  }
  return counts;
}
