/**
 * The best placement by trying all of them. Written from the words of `OffloadProblem` alone, apart from the solvers' own arithmetic, for
 * problems of a handful of units.
 */
import { dtypes, type IndexRange, type OffloadProblem, type OffloadUnit, type PlacedPart, type Placement } from "@thermocline/spec";

interface Option {
  readonly parts: readonly PlacedPart[];
  /** By device. */
  readonly bytes: readonly number[];
  /** By phase of the workload and device: seconds of the device's own work; undefined without a part there. */
  readonly work: readonly (readonly (number | undefined)[])[];
}

interface Step {
  /** How many such steps the workload has. */
  readonly times: number;
  readonly tokens: number;
  readonly sequences: number;
  readonly depth: number;
}

export interface BruteForceResult {
  /** Undefined where nothing fits. */
  readonly seconds?: number;
  readonly placement?: Placement;
}

export function stepsOf({ workload, maxBatchTokens }: OffloadProblem): readonly (readonly Step[])[] {
  const { promptTokens, outputTokens, contextDepth, batch } = workload;
  const numChunks = Math.ceil((batch * promptTokens) / maxBatchTokens);
  const prefill = Array.from({ length: numChunks }, (_, chunk) => ({
    times: 1,
    tokens: (batch * promptTokens) / numChunks,
    sequences: batch,
    depth: contextDepth + ((chunk + 0.5) * promptTokens) / numChunks,
  }));
  return [prefill, [{ times: outputTokens, tokens: batch, sequences: batch, depth: contextDepth + promptTokens + outputTokens / 2 }]];
}

export function bruteForce(problem: OffloadProblem): BruteForceResult {
  chances.clear();
  const { devices, units } = problem;
  const phases = stepsOf(problem);
  const hand = phases.map((steps) =>
    devices.map((_, from) =>
      devices.map((_, to) => steps.reduce((sum, step) => sum + step.times * handOver(problem, from, to, step.tokens), 0)),
    ),
  );
  const options = units.map((unit, index) =>
    optionsOf(problem, unit, phases, index === 0)
      .map((option) => timed(problem, unit, option, hand))
      .sort((a, b) => a.least - b.least),
  );
  // What the units from each one on take at least: beginnings that are too slow already are left early.
  const leastFrom = units.map((_, index) => options.slice(index).reduce((sum, [fastest]) => sum + (fastest?.least ?? 0), 0));
  const used = devices.map(() => 0);
  const chosen: Option[] = [];
  let best: { seconds: number; chosen: readonly Option[] } | undefined;

  const place = (index: number, stream: number, seconds: number): void => {
    if (best !== undefined && seconds + (leastFrom[index] ?? 0) >= best.seconds) return;
    if (index === units.length) {
      best = { seconds, chosen: [...chosen] };
      return;
    }
    for (const { option, secondsFrom, only } of options[index]!) {
      if (option.bytes.some((bytes, device) => used[device]! + bytes > devices[device]!.budgetBytes)) continue;
      const home = index === 0 ? only! : stream;
      const after = only === undefined || units[index]!.kind === "experts" ? home : only;
      for (const [device, bytes] of option.bytes.entries()) used[device]! += bytes;
      chosen.push(option);
      place(index + 1, after, seconds + secondsFrom[home]!);
      chosen.pop();
      for (const [device, bytes] of option.bytes.entries()) used[device]! -= bytes;
    }
  };
  place(0, 0, 0);
  if (best === undefined) return {};
  return { seconds: best.seconds, placement: new Map(units.map(({ id }, index) => [id, best!.chosen[index]!.parts])) };
}

interface TimedOption {
  readonly option: Option;
  /** Index of the only device. */
  readonly only: number | undefined;
  /** By where the stream is before the unit. */
  readonly secondsFrom: readonly number[];
  readonly least: number;
}

function timed(
  { devices }: OffloadProblem,
  { kind }: OffloadUnit,
  option: Option,
  hand: readonly (readonly (readonly number[])[])[],
): TimedOption {
  const only = option.parts.length === 1 ? devices.findIndex(({ id }) => id === option.parts[0]!.device) : undefined;
  const returns = only === undefined || kind === "experts";
  const secondsFrom = devices.map((_, home) => {
    let seconds = 0;
    for (const [phase, work] of option.work.entries()) {
      const legs = work.map((own, device) =>
        own === undefined ? 0 : own + hand[phase]![home]![device]! + (returns ? hand[phase]![device]![home]! : 0),
      );
      seconds += Math.max(...legs);
    }
    return seconds;
  });
  return { option, only, secondsFrom, least: Math.min(...secondsFrom) };
}

/** Directly, or by whatever devices make it shortest: with three devices one other at most. */
function handOver({ devices, links, handOverBytesPerToken }: OffloadProblem, from: number, to: number, tokens: number): number {
  if (from === to) return 0;
  const direct = (a: string, b: string) => {
    const link = links.find((entry) => entry.from === a && entry.to === b);
    return link === undefined ? Number.POSITIVE_INFINITY : link.latencySeconds + (tokens * handOverBytesPerToken) / link.bytesPerSecond;
  };
  const [a, b] = [devices[from]!.id, devices[to]!.id];
  const around = devices.filter(({ id }) => id !== a && id !== b).map(({ id }) => direct(a, id) + direct(id, b));
  return Math.min(direct(a, b), ...around);
}

function optionsOf(problem: OffloadProblem, unit: OffloadUnit, phases: readonly (readonly Step[])[], isFirst: boolean): readonly Option[] {
  const { devices, allowedDevices } = problem;
  const able = devices.flatMap(({ id, units }, device) => {
    const isAllowed = allowedDevices[unit.id]?.includes(id) ?? true;
    return isAllowed && units[unit.id] !== undefined ? [device] : [];
  });
  const wholes = able.map((device) => optionOf(problem, unit, phases, new Map([[device, undefined]])));
  if (unit.rows === undefined || isFirst) return wholes;
  const { count, blockSize } = unit.rows;
  const blocks = Array.from({ length: Math.ceil(count / blockSize) }, (_, block): IndexRange => {
    const first = block * blockSize;
    return [first, Math.min(blockSize, count - first)];
  });
  const splits: Option[] = [];
  for (let code = 0; code < able.length ** blocks.length; code++) {
    const owned = new Map<number, IndexRange[]>();
    let rest = code;
    for (const block of blocks) {
      const device = able[rest % able.length]!;
      owned.set(device, [...(owned.get(device) ?? []), block]);
      rest = Math.floor(rest / able.length);
    }
    if (owned.size > 1) splits.push(optionOf(problem, unit, phases, owned));
  }
  return [...wholes, ...splits];
}

function optionOf(
  { devices }: OffloadProblem,
  unit: OffloadUnit,
  phases: readonly (readonly Step[])[],
  owned: ReadonlyMap<number, readonly IndexRange[] | undefined>,
): Option {
  const bytes = devices.map(({ units }, device) => {
    if (!owned.has(device)) return 0;
    const { weightBytes, kvCacheBytes, part } = units[unit.id]!;
    const blocks = owned.get(device);
    return blocks === undefined ? weightBytes + kvCacheBytes : part!.fixedBytes + blocks.length * part!.bytesPerBlock;
  });
  const work = phases.map((steps) =>
    devices.map((device, index) => (owned.has(index) ? phaseSeconds(unit, device, owned.get(index), steps) : undefined)),
  );
  const parts = [...owned].sort(([a], [b]) => a - b).map(([device, rows]) => ({ device: devices[device]!.id, ...(rows && { rows }) }));
  return { parts, bytes, work };
}

function phaseSeconds(
  unit: OffloadUnit,
  device: OffloadProblem["devices"][number],
  ranges: readonly IndexRange[] | undefined,
  steps: readonly Step[],
): number {
  const seconds = (step: Step) => workSeconds(unit, device, ranges, step);
  if (unit.kvCache !== undefined) return steps.reduce((sum, step) => sum + step.times * seconds(step), 0);
  // Without a cache the depth, in which alone steps differ, means nothing.
  return steps.length === 0 ? 0 : steps.reduce((sum, { times }) => sum + times, 0) * seconds(steps[0]!);
}

const chances = new Map<number, Map<number, number>>();

/** That a row of frequency f is active for one of t tokens at least; kept, since powers are what most of the time goes into. */
function chanceOf(f: number, t: number): number {
  const known = chances.get(t) ?? new Map<number, number>();
  chances.set(t, known);
  if (!known.has(f)) known.set(f, 1 - (1 - f) ** t);
  return known.get(f)!;
}

function workSeconds(
  unit: OffloadUnit,
  { rates, units }: OffloadProblem["devices"][number],
  ranges: readonly IndexRange[] | undefined,
  { tokens, sequences, depth }: Step,
): number {
  const count = unit.rows?.count ?? 1;
  const rows = (ranges ?? [[0, count] as const]).flatMap(([first, length]) => Array.from({ length }, (_, index) => first + index));
  const t = unit.kind === "head" ? sequences : tokens;
  let seconds = unit.numCommands * rates.commandSeconds;
  for (const { dtype, alwaysBytes, conditionalBytes } of unit.weights) {
    const elementsPerByte = dtypes[dtype].blockSize / dtypes[dtype].blockBytes;
    let bytes = 0;
    let multiplyAdds = 0;
    for (const row of rows) {
      const f = unit.rows?.activationFrequencies?.[row] ?? unit.activationFrequency;
      bytes += (alwaysBytes + chanceOf(f, t) * conditionalBytes) / count;
      multiplyAdds += (t * elementsPerByte * (alwaysBytes + f * conditionalBytes)) / count;
    }
    const read = bytes / (rates.weightBytesPerSecond[dtype] ?? rates.weightBytesPerSecond.other);
    const multiply = (2 * multiplyAdds) / (rates.operationsPerSecond[dtype] ?? rates.operationsPerSecond.other);
    seconds += Math.max(read, multiply);
  }
  if (unit.kvCache === undefined) return seconds;
  const { slidingWindow = Number.POSITIVE_INFINITY, multiplyAddsPerCachedToken, stateBytesPerSequence } = unit.kvCache;
  const seen = Math.min(depth, slidingWindow);
  const read = sequences * seen * units[unit.id]!.kvBytesPerToken + 2 * sequences * stateBytesPerSequence;
  const products = tokens * seen * multiplyAddsPerCachedToken;
  return seconds + Math.max(read / rates.kvBytesPerSecond, (2 * products) / rates.attentionOperationsPerSecond);
}
