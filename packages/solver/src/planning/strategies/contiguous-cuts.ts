/** The best cuts of a chain into runs, one run for each device of a sequence: exact, by dynamic programming. */
import type { ItemFigures } from "./layer-chain.js";

export interface Cuts {
  /** Of the runs' items alone. */
  readonly cost: number;
  /** Item index behind each run's last one; ascending, the last is the number of items. */
  readonly ends: readonly number[];
}

/**
 * Every run has at least one item and stays within its device's bytes.
 * @param runCost Cost of items first..end-1 on the device, given sums over them.
 * @param join How costs of runs come together: a sum for seconds, a maximum for shares.
 */
export function bestCuts(
  sequence: readonly number[],
  { seconds, bytes }: ItemFigures,
  freeBytes: readonly number[],
  runCost: (run: { readonly device: number; readonly seconds: number; readonly bytes: number }) => number = (run) => run.seconds,
  join: (a: number, b: number) => number = (a, b) => a + b,
): Cuts | undefined {
  const numItems = seconds.length;
  if (numItems < sequence.length) return undefined;
  let costs = Array.from({ length: numItems + 1 }, (_, end) => (end === 0 ? 0 : Number.POSITIVE_INFINITY));
  const firsts: number[][] = [];
  for (const device of sequence) {
    const next = costs.map(() => Number.POSITIVE_INFINITY);
    const first = costs.map(() => -1);
    for (let end = 1; end <= numItems; end++) {
      let runSeconds = 0;
      let runBytes = 0;
      for (let begin = end - 1; begin >= 0; begin--) {
        runSeconds += seconds[begin]![device]!;
        runBytes += bytes[begin]![device]!;
        if (runBytes > freeBytes[device]!) break;
        const cost = join(costs[begin]!, runCost({ device, seconds: runSeconds, bytes: runBytes }));
        if (cost < next[end]!) {
          next[end] = cost;
          first[end] = begin;
        }
      }
    }
    costs = next;
    firsts.push(first);
  }
  const cost = costs[numItems]!;
  if (!Number.isFinite(cost)) return undefined;
  const ends: number[] = [];
  for (let run = sequence.length - 1, end = numItems; run >= 0; run--) {
    ends.unshift(end);
    end = firsts[run]![end]!;
  }
  return { cost, ends };
}

/** Device index of each item. */
export function devicesOfItems(sequence: readonly number[], { ends }: Cuts): readonly number[] {
  return sequence.flatMap((device, run) => Array.from({ length: ends[run]! - (ends[run - 1] ?? 0) }, () => device));
}
