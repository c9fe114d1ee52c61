/** Where one unit lies, with all that solvers ask of it, and chains of such choices. */
import type { IndexRange, OffloadUnit, PlacedPart, Placement } from "@thermocline/spec";
import { numPhases, type PricedProblem, type PricedUnit } from "./priced-problem.js";
import type { PricedRows } from "./priced-rows.js";
import { rangesOf } from "./row-groups.js";

export interface Choice {
  /** Index of the device of a unit that lies whole; -1 of one that is split. */
  readonly whole: number;
  /** Of a split unit: groups of each class, by part of `PricedRows`. */
  readonly counts?: readonly Int32Array[];
  /** By device. */
  readonly bytes: Float64Array;
  /** Devices with a part, and by phase the seconds that each of them computes. */
  readonly devices: readonly number[];
  readonly seconds: readonly (readonly number[])[];
}

export function wholeChoice({ numDevices }: PricedProblem, { wholeBytes, wholeSeconds }: PricedUnit, device: number): Choice {
  const bytes = new Float64Array(numDevices);
  bytes[device] = wholeBytes[device]!;
  // A single leg: its phases add up.
  return { whole: device, bytes, devices: [device], seconds: [[wholeSeconds[device]!], [0]] };
}

/** Undefined where fewer than two devices get a group. */
export function splitChoice({ numDevices }: PricedProblem, { rows }: PricedUnit, counts: readonly Int32Array[]): Choice | undefined {
  const { parts } = rows!;
  const bytes = new Float64Array(numDevices);
  const devices: number[] = [];
  const seconds: number[][] = Array.from({ length: numPhases }, () => []);
  for (const [index, part] of parts.entries()) {
    const own = counts[index]!;
    if (own.every((count) => count === 0)) continue;
    devices.push(part.device);
    bytes[part.device] = part.fixedBytes + dot(part.bytes, own);
    for (let phase = 0; phase < numPhases; phase++) seconds[phase]!.push(secondsOfCounts(part, phase, own));
  }
  return devices.length < 2 ? undefined : { whole: -1, counts, bytes, devices, seconds };
}

function secondsOfCounts(part: PricedRows["parts"][number], phase: number, counts: Int32Array): number {
  let sum = part.fixedSeconds[phase]! + dot(part.seconds[phase]!, counts);
  for (const { read, multiply } of part.pairs[phase]!) sum += Math.max(dot(read, counts), dot(multiply, counts));
  return sum;
}

export function dot(a: Float64Array, b: Int32Array | Float64Array): number {
  let sum = 0;
  for (let index = 0; index < a.length; index++) sum += a[index]! * b[index]!;
  return sum;
}

/** Where the residual stream is after a unit; `home` is where it was before. */
export function homeAfter({ staysPut }: PricedUnit, { whole }: Choice, home: number): number {
  return staysPut || whole < 0 ? home : whole;
}

/** Seconds of a unit, hand-overs included, where the residual stream comes from `home`. */
export function secondsAt({ handOver }: PricedProblem, { staysPut }: PricedUnit, choice: Choice, home: number): number {
  const returns = staysPut || choice.whole < 0;
  let total = 0;
  for (let phase = 0; phase < numPhases; phase++) {
    const links = handOver[phase]!;
    let longest = 0;
    for (let index = 0; index < choice.devices.length; index++) {
      const device = choice.devices[index]!;
      const leg = choice.seconds[phase]![index]! + links[home]![device]! + (returns ? links[device]![home]! : 0);
      if (leg > longest) longest = leg;
    }
    total += longest;
  }
  return total;
}

/** Seconds of the workload. The stream begins where the first unit lies. */
export function chainSeconds(problem: PricedProblem, choices: readonly Choice[]): number {
  let home = choices[0]!.devices[0]!;
  let seconds = 0;
  for (let index = 0; index < choices.length; index++) {
    const unit = problem.units[index]!;
    seconds += secondsAt(problem, unit, choices[index]!, home);
    home = homeAfter(unit, choices[index]!, home);
  }
  return seconds;
}

/** By device. */
export function bytesOfChoices({ numDevices }: PricedProblem, choices: readonly Choice[]): Float64Array {
  const bytes = new Float64Array(numDevices);
  for (const choice of choices) for (let device = 0; device < numDevices; device++) bytes[device]! += choice.bytes[device]!;
  return bytes;
}

/** The groups of each class go to the parts in order, so that the parts' ranges are as long as can be. */
export function placementOf({ problem: { devices }, units }: PricedProblem, choices: readonly Choice[]): Placement {
  // Units that are alike share `rows`, and often choices.
  const known = new Map<PricedRows, Map<Choice, readonly PlacedPart[]>>();
  return new Map(
    units.map(({ unit, rows }, index): [string, readonly PlacedPart[]] => {
      const choice = choices[index]!;
      if (choice.whole >= 0) return [unit.id, [{ device: devices[choice.whole]!.id }]];
      const ofRows = known.get(rows!) ?? new Map<Choice, readonly PlacedPart[]>();
      known.set(rows!, ofRows);
      const parts =
        ofRows.get(choice) ?? partsOf(unit, rows!, choice).map(([device, ranges]) => ({ device: devices[device]!.id, rows: ranges }));
      ofRows.set(choice, parts);
      return [unit.id, parts];
    }),
  );
}

function partsOf(
  unit: OffloadUnit,
  { classes, parts }: PricedRows,
  { counts }: Choice,
): readonly (readonly [number, readonly IndexRange[]])[] {
  const taken = classes.map(() => 0);
  return parts.flatMap(({ device }, part) => {
    const groups = classes.flatMap((members, index) => {
      const first = taken[index]!;
      taken[index] = first + counts![part]![index]!;
      return members.slice(first, taken[index]);
    });
    return groups.length === 0 ? [] : [[device, rangesOf(unit, groups)] as const];
  });
}
