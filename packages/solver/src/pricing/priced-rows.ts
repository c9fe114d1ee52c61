/** Rows of a unit that may lie on several devices: groups of equal price are a class, and a placement counts groups of each class. */
import type { DeviceRates, OffloadProblem, OffloadUnit, UnitBytes } from "@thermocline/spec";
import { activationChance, tokensAt, weightSeconds } from "./part-seconds.js";
import type { Phase } from "./phases.js";
import { type RowGroup, rowGroupsOf } from "./row-groups.js";

/** Two times of which a part takes the longer: to read weights, and to multiply them. Seconds of the workload by class of group. */
export interface TimePair {
  readonly read: Float64Array;
  readonly multiply: Float64Array;
}

/** What a device takes for its part of a unit. */
export interface PricedPart {
  /** Index of the device. */
  readonly device: number;
  readonly fixedBytes: number;
  /** By class, of one group. */
  readonly bytes: Float64Array;
  /** By phase: seconds for any part, however small. */
  readonly fixedSeconds: Float64Array;
  /** By phase and class, of one group. */
  readonly seconds: readonly Float64Array[];
  /** By phase: weights whose reading or multiplication is the longer depending on which rows a part has; mostly none. */
  readonly pairs: readonly (readonly TimePair[])[];
}

export interface PricedRows {
  /** Groups by class. */
  readonly classes: readonly (readonly RowGroup[])[];
  readonly numGroups: number;
  /** One for each device that may hold a part, ascending. At least two. */
  readonly parts: readonly PricedPart[];
}

/** Undefined where fewer than two devices can hold a part, or there are no two groups. */
export function priceRows(
  { devices, neuronsPerGroup = 64 }: OffloadProblem,
  unit: OffloadUnit,
  held: readonly (UnitBytes | undefined)[],
  phases: readonly Phase[],
): PricedRows | undefined {
  const able = held.flatMap((bytes, device) => (bytes?.part === undefined ? [] : [{ device, ...bytes.part }]));
  if (able.length < 2) return undefined;
  const groups = rowGroupsOf(unit, neuronsPerGroup);
  if (groups.length < 2) return undefined;
  const classes = classesOf(unit, groups, phases);
  const parts = able.map(({ device, fixedBytes, bytesPerBlock }): PricedPart => {
    const { rates } = devices[device]!;
    const times = phases.map((phase, index) => timesOf(unit, rates, phase, index, classes));
    return {
      device,
      fixedBytes,
      bytes: Float64Array.from(classes, ({ members: [group] }) => group!.blocks.length * bytesPerBlock),
      fixedSeconds: Float64Array.from(phases, ({ numSteps }) => numSteps * unit.numCommands * rates.commandSeconds),
      seconds: times.map(({ seconds }) => seconds),
      pairs: times.map(({ pairs }) => pairs),
    };
  });
  return { classes: classes.map(({ members }) => members), numGroups: groups.length, parts };
}

/** What the times of a group depend on. */
interface GroupFigures {
  readonly numRows: number;
  /** Means over the rows; the chance of activation by phase. */
  readonly frequency: number;
  readonly activations: readonly number[];
}

interface GroupClass {
  readonly figures: GroupFigures;
  readonly members: RowGroup[];
}

/** The most frequent first. */
function classesOf(unit: OffloadUnit, groups: readonly RowGroup[], phases: readonly Phase[]): readonly GroupClass[] {
  const classes = new Map<string, GroupClass>();
  for (const group of groups) {
    const figures = figuresOf(unit, group, phases);
    const key = `${figures.numRows} ${figures.frequency} ${figures.activations}`;
    const known = classes.get(key);
    if (known === undefined) classes.set(key, { figures, members: [group] });
    else known.members.push(group);
  }
  return [...classes.values()].sort((a, b) => b.figures.frequency - a.figures.frequency || b.figures.numRows - a.figures.numRows);
}

/** Chances of rows are not linear in their frequencies: a group's mean frequency does not give their mean. */
function figuresOf(unit: OffloadUnit, { blocks, numRows }: RowGroup, phases: readonly Phase[]): GroupFigures {
  const { count, blockSize, activationFrequencies } = unit.rows!;
  const tokens = phases.map((phase) => tokensAt(unit, phase));
  if (activationFrequencies === undefined) {
    const frequency = unit.activationFrequency;
    return { numRows, frequency, activations: tokens.map((number) => activationChance(frequency, number)) };
  }
  let frequency = 0;
  const activations = tokens.map(() => 0);
  for (const block of blocks) {
    const end = Math.min(count, (block + 1) * blockSize);
    for (let row = block * blockSize; row < end; row++) {
      frequency += activationFrequencies[row]!;
      for (let phase = 0; phase < tokens.length; phase++)
        activations[phase]! += activationChance(activationFrequencies[row]!, tokens[phase]!);
    }
  }
  return { numRows, frequency: frequency / numRows, activations: activations.map((sum) => sum / numRows) };
}

interface ClassTimes {
  readonly seconds: Float64Array;
  readonly pairs: readonly TimePair[];
}

function timesOf(unit: OffloadUnit, rates: DeviceRates, phase: Phase, phaseIndex: number, classes: readonly GroupClass[]): ClassTimes {
  const seconds = new Float64Array(classes.length);
  const pairs: TimePair[] = [];
  if (phase.numSteps === 0) return { seconds, pairs };
  const tokens = tokensAt(unit, phase);
  for (const weights of unit.weights) {
    const read = new Float64Array(classes.length);
    const multiply = new Float64Array(classes.length);
    for (const [index, { figures }] of classes.entries()) {
      const share = figures.numRows / unit.rows!.count;
      const shares = { share, frequency: share * figures.frequency, activation: share * figures.activations[phaseIndex]! };
      const [readSeconds, multiplySeconds] = weightSeconds(weights, rates, tokens, shares);
      read[index] = readSeconds * phase.numSteps;
      multiply[index] = multiplySeconds * phase.numSteps;
    }
    // A hair's breadth of room: of times that are equal in exact arithmetic either one will do.
    const isRead = read.every((value, index) => value >= multiply[index]! * (1 - 1e-12));
    const isMultiply = !isRead && multiply.every((value, index) => value >= read[index]! * (1 - 1e-12));
    if (!isRead && !isMultiply) pairs.push({ read, multiply });
    else for (const [index, value] of (isRead ? read : multiply).entries()) seconds[index]! += value;
  }
  return { seconds, pairs };
}
