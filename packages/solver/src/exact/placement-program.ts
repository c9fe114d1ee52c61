/**
 * An offload problem as a mixed-integer program.
 *
 * The residual stream is a unit of flow from the first unit to the last: an arc for each unit, device where the stream is before it and
 * way to place it. Without budgets this is a shortest path, so the relaxation is tight but for budgets and splits. A split unit has counts
 * of groups by device and class, a switch for each device that takes part, and a time for each phase, which is no less than any leg.
 */
import { assert } from "@thermocline/spec";
import type { Choice } from "../pricing/choice.js";
import { homeAfter, splitChoice, wholeChoice } from "../pricing/choice.js";
import { numPhases, type PricedProblem, type PricedUnit } from "../pricing/priced-problem.js";
import type { PricedRows } from "../pricing/priced-rows.js";
import { IntegerProgram, type IntegerProgramData, type Term } from "./integer-program.js";

/** What the program minimises: seconds of the workload, or bytes beyond the budgets. */
export type ProgramGoal = "seconds" | "missing-bytes";

export interface PlacementProgram {
  readonly data: IntegerProgramData;
  /** The objective is in units of so many seconds, or bytes. */
  readonly scale: number;
  /** Values of all variables for a placement that is known. */
  encode(choices: readonly Choice[]): Float64Array;
  decode(values: Float64Array): readonly Choice[];
}

/** Variables of a unit. */
interface UnitColumns {
  /** By home and device. */
  readonly whole: readonly (readonly (number | undefined)[])[];
  readonly split?: SplitColumns;
}

interface SplitColumns {
  /** By home. */
  readonly split: readonly (number | undefined)[];
  /** By home and part. */
  readonly takesPart: readonly (readonly number[] | undefined)[];
  /** By part and class. */
  readonly counts: readonly (readonly number[])[];
  /** By phase. */
  readonly seconds: readonly number[];
  /** By part, phase and pair of times. */
  readonly pairs: readonly (readonly (readonly number[])[])[];
}

/** Objectives have about this size, so that the solver's absolute tolerances of 1e-9 are far below what counts. */
const objectiveSize = 1e4;
const bytesSize = 1e3;

/** `seconds`: of a placement that is known, to scale by. */
export function createPlacementProgram(problem: PricedProblem, goal: ProgramGoal, seconds: number): PlacementProgram {
  const { units, numDevices, budgetBytes } = problem;
  const program = new IntegerProgram();
  const timeScale = Math.max(seconds, Number.MIN_VALUE) / objectiveSize;
  const cost = (value: number) => (goal === "seconds" ? value / timeScale : 0);
  const byteScales = Array.from(budgetBytes, (budget, device) => {
    const most = units.reduce((sum, { wholeBytes }) => sum + wholeBytes[device]!, 0);
    return Math.max(1, Math.min(budget, most)) / bytesSize;
  });
  const byteTerms: Term[][] = byteScales.map(() => []);
  const takeBytes = (column: number, device: number, bytes: number) => byteTerms[device]!.push([column, bytes / byteScales[device]!]);

  const columns: UnitColumns[] = [];
  // Arcs that end on each device, before the unit at hand; undefined before the first unit, where the stream begins anywhere.
  let incoming: Term[][] | undefined;
  for (const unit of units) {
    const outgoing: Term[][] = Array.from({ length: numDevices }, () => []);
    const homes = Array.from({ length: numDevices }, (_, home) => home).filter(
      (home) => incoming === undefined || incoming[home]!.length > 0,
    );
    const leaving: Term[][] = Array.from({ length: numDevices }, () => []);
    const whole = Array.from({ length: numDevices }, (_, home) =>
      Array.from({ length: numDevices }, (_, device) => {
        const isPossible =
          homes.includes(home) && Number.isFinite(unit.wholeSeconds[device]!) && (incoming !== undefined || device === home);
        if (!isPossible) return undefined;
        const column = program.addVariable(cost(unit.wholeSeconds[device]! + moveSeconds(problem, unit, home, device)), 1, true);
        takeBytes(column, device, unit.wholeBytes[device]!);
        leaving[home]!.push([column, 1]);
        outgoing[unit.staysPut ? home : device]!.push([column, 1]);
        return column;
      }),
    );
    const split = unit.rows === undefined ? undefined : addSplit(program, problem, unit.rows, homes, cost, goal, timeScale, takeBytes);
    for (const home of split === undefined ? [] : homes) {
      leaving[home]!.push([split!.split[home]!, 1]);
      outgoing[home]!.push([split!.split[home]!, 1]);
    }
    if (incoming === undefined) program.addRow(1, leaving.flat(), 1);
    else for (const home of homes) program.addRow(0, [...leaving[home]!, ...incoming[home]!.map(([column]): Term => [column, -1])], 0);
    columns.push({ whole, ...(split && { split }) });
    incoming = outgoing;
  }
  const slacks = byteTerms.map((terms, device) => {
    const budget = budgetBytes[device]! / byteScales[device]!;
    if (!Number.isFinite(budget) || terms.length === 0) return undefined;
    if (goal === "seconds") {
      program.addRow(Number.NEGATIVE_INFINITY, terms, budget);
      return undefined;
    }
    const slack = program.addVariable(byteScales[device]! / Math.max(...byteScales), Number.POSITIVE_INFINITY, false);
    program.addRow(Number.NEGATIVE_INFINITY, [...terms, [slack, -1]], budget);
    return slack;
  });
  assert(goal === "seconds" || slacks.length === numDevices, "a slack for each device");

  return {
    data: program.data(),
    scale: goal === "seconds" ? timeScale : Math.max(...byteScales),
    encode: (choices) => encode(problem, columns, program.numVariables, choices, timeScale),
    decode: (values) => decode(problem, columns, values),
  };
}

function moveSeconds({ handOver }: PricedProblem, { staysPut }: PricedUnit, home: number, device: number): number {
  return handOver.reduce((sum, links) => sum + links[home]![device]! + (staysPut ? links[device]![home]! : 0), 0);
}

function addSplit(
  program: IntegerProgram,
  { handOver }: PricedProblem,
  { classes, numGroups, parts }: PricedRows,
  homes: readonly number[],
  cost: (seconds: number) => number,
  goal: ProgramGoal,
  timeScale: number,
  takeBytes: (column: number, device: number, bytes: number) => void,
): SplitColumns {
  const numDevices = handOver[0]!.length;
  const byHome = <T>(make: (home: number) => T) =>
    Array.from({ length: numDevices }, (_, home) => (homes.includes(home) ? make(home) : undefined));
  const split = byHome(() => program.addVariable(0, 1, true));
  const isSplit = homes.map((home) => split[home]!);
  const counts = parts.map(({ device, bytes }) =>
    classes.map((members, index) => {
      const column = program.addVariable(0, members.length, true);
      takeBytes(column, device, bytes[index]!);
      return column;
    }),
  );
  const takesPart = byHome((home) => {
    const switches = parts.map(({ device, fixedBytes }) => {
      const column = program.addVariable(0, 1, true);
      takeBytes(column, device, fixedBytes);
      program.addRow(
        0,
        [
          [split[home]!, 1],
          [column, -1],
        ],
        1,
      );
      return column;
    });
    program.addRow(0, [...switches.map((column): Term => [column, 1]), [split[home]!, -2]], Number.POSITIVE_INFINITY);
    return switches;
  });
  for (const [index, members] of classes.entries()) {
    const all = [...counts.map((own): Term => [own[index]!, 1]), ...isSplit.map((column): Term => [column, -members.length])];
    program.addRow(0, all, 0);
  }
  for (const [part, own] of counts.entries()) {
    const switches = homes.map((home) => takesPart[home]![part]!);
    const sum = own.map((column): Term => [column, 1]);
    program.addRow(0, [...sum, ...switches.map((column): Term => [column, -1])], Number.POSITIVE_INFINITY);
    program.addRow(Number.NEGATIVE_INFINITY, [...sum, ...switches.map((column): Term => [column, -(numGroups - 1)])], 0);
  }
  if (goal !== "seconds") return { split, takesPart, counts, seconds: [], pairs: parts.map(() => []) };

  const seconds = Array.from({ length: numPhases }, () => program.addVariable(cost(timeScale), Number.POSITIVE_INFINITY, false));
  const pairs = parts.map((part, index) =>
    seconds.map((column, phase) => {
      const own = counts[index]!;
      const weigh = (values: Float64Array) => own.map((count, position): Term => [count, -values[position]! / timeScale]);
      const extra = part.pairs[phase]!.map(({ read, multiply }) => {
        const longer = program.addVariable(0, Number.POSITIVE_INFINITY, false);
        program.addRow(0, [[longer, 1], ...weigh(read)], Number.POSITIVE_INFINITY);
        program.addRow(0, [[longer, 1], ...weigh(multiply)], Number.POSITIVE_INFINITY);
        return longer;
      });
      const fixed = homes.map((home): Term => {
        const handOvers = handOver[phase]![home]![part.device]! + handOver[phase]![part.device]![home]!;
        return [takesPart[home]![index]!, -(part.fixedSeconds[phase]! + handOvers) / timeScale];
      });
      const leg: Term[] = [[column, 1], ...weigh(part.seconds[phase]!), ...extra.map((longer): Term => [longer, -1]), ...fixed];
      program.addRow(0, leg, Number.POSITIVE_INFINITY);
      return extra;
    }),
  );
  return { split, takesPart, counts, seconds, pairs };
}

function encode(
  problem: PricedProblem,
  columns: readonly UnitColumns[],
  numVariables: number,
  choices: readonly Choice[],
  timeScale: number,
): Float64Array {
  const values = new Float64Array(numVariables);
  let home = choices[0]!.devices[0]!;
  for (const [index, choice] of choices.entries()) {
    const unit = problem.units[index]!;
    const { whole, split } = columns[index]!;
    if (choice.whole >= 0) values[whole[home]![choice.whole]!] = 1;
    else encodeSplit(values, problem, unit.rows!, split!, choice, home, timeScale);
    home = homeAfter(unit, choice, home);
  }
  return values;
}

function encodeSplit(
  values: Float64Array,
  { handOver }: PricedProblem,
  { parts }: PricedRows,
  split: SplitColumns,
  { counts, devices, seconds }: Choice,
  home: number,
  timeScale: number,
): void {
  values[split.split[home]!] = 1;
  for (const [part, { device, pairs }] of parts.entries()) {
    const own = counts![part]!;
    values[split.takesPart[home]![part]!] = devices.includes(device) ? 1 : 0;
    for (const [index, column] of split.counts[part]!.entries()) values[column] = own[index]!;
    for (const [phase, columns] of split.pairs[part]!.entries()) {
      for (const [pair, column] of columns.entries()) {
        const { read, multiply } = pairs[phase]![pair]!;
        const total = (times: Float64Array) => times.reduce((sum, value, index) => sum + value * own[index]!, 0);
        values[column] = Math.max(total(read), total(multiply)) / timeScale;
      }
    }
  }
  for (const [phase, column] of split.seconds.entries()) {
    const links = handOver[phase]!;
    const legs = devices.map((device, index) => seconds[phase]![index]! + links[home]![device]! + links[device]![home]!);
    values[column] = Math.max(...legs) / timeScale;
  }
}

function decode(problem: PricedProblem, columns: readonly UnitColumns[], values: Float64Array): readonly Choice[] {
  return problem.units.map((unit, index) => {
    const { whole, split } = columns[index]!;
    let best: { readonly device: number; readonly value: number } = { device: -1, value: 0.5 };
    for (const byDevice of whole) {
      for (const [device, column] of byDevice.entries()) {
        if (column !== undefined && values[column]! > best.value) best = { device, value: values[column]! };
      }
    }
    if (best.device >= 0) return wholeChoice(problem, unit, best.device);
    const counts = split!.counts.map((own) => Int32Array.from(own, (column) => Math.round(values[column]!)));
    const choice = splitChoice(problem, unit, counts);
    assert(choice !== undefined, `unit ${unit.unit.id} is split over several devices`);
    return choice;
  });
}
