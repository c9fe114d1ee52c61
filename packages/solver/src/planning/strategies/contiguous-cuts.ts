/** The best cuts of a chain into runs of neighbours, one run for each device of a sequence: exact, by dynamic programming. */
import type { ItemFigures } from "./layer-chain.js";

/** Every run has at least one item and stays within its device's bytes. */
export interface Cuts {
  /** The figure that is least of all cuts. */
  readonly cost: number;
  /** Item index behind each run's last one; ascending, the last is the number of items. */
  readonly ends: readonly number[];
}

/**
 * The cuts of fewest seconds. A run of items b to e−1 costs S(e) − S(b) with sums S along the chain, so that the best begin for an end is the
 * least of cost(b) − S(b) among the begins whose bytes still fit: a window that only moves forward. Time grows with runs times items.
 */
export function fastestCuts(sequence: readonly number[], { seconds, bytes }: ItemFigures, freeBytes: readonly number[]): Cuts | undefined {
  const numItems = seconds.length;
  if (numItems < sequence.length) return undefined;
  let costs = new Float64Array(numItems + 1).fill(Number.POSITIVE_INFINITY);
  costs[0] = 0;
  const begins: Int32Array[] = [];
  for (const device of sequence) {
    const next = new Float64Array(numItems + 1).fill(Number.POSITIVE_INFINITY);
    const begin = new Int32Array(numItems + 1).fill(-1);
    // Begins whose cost − S rises from first to last: the first is the least.
    const window: { readonly at: number; readonly value: number }[] = [];
    let head = 0;
    let runSeconds = 0;
    let runBytes = 0;
    let earliest = 0;
    for (let end = 1; end <= numItems; end++) {
      const value = costs[end - 1]! - runSeconds;
      while (window.length > head && window.at(-1)!.value >= value) window.pop();
      window.push({ at: end - 1, value });
      runSeconds += seconds[end - 1]![device]!;
      runBytes += bytes[end - 1]![device]!;
      for (; runBytes > freeBytes[device]! && earliest < end; earliest++) runBytes -= bytes[earliest]![device]!;
      while (head < window.length && window[head]!.at < earliest) head++;
      const best = window[head];
      if (best === undefined || !Number.isFinite(best.value)) continue;
      next[end] = runSeconds + best.value;
      begin[end] = best.at;
    }
    costs = next;
    begins.push(begin);
  }
  return cutsOf(costs[numItems]!, begins, numItems);
}

/** The cuts whose fullest device is least full. */
export function mostEvenCuts(
  sequence: readonly number[],
  { bytes }: ItemFigures,
  freeBytes: readonly number[],
  shareOf: (device: number, runBytes: number) => number,
): Cuts | undefined {
  const numItems = bytes.length;
  if (numItems < sequence.length) return undefined;
  let shares = new Float64Array(numItems + 1).fill(Number.POSITIVE_INFINITY);
  shares[0] = 0;
  const begins: Int32Array[] = [];
  for (const device of sequence) {
    const next = new Float64Array(numItems + 1).fill(Number.POSITIVE_INFINITY);
    const beginOf = new Int32Array(numItems + 1).fill(-1);
    for (let end = 1; end <= numItems; end++) {
      let runBytes = 0;
      for (let begin = end - 1; begin >= 0; begin--) {
        runBytes += bytes[begin]![device]!;
        if (runBytes > freeBytes[device]!) break;
        const share = Math.max(shares[begin]!, shareOf(device, runBytes));
        if (share < next[end]!) {
          next[end] = share;
          beginOf[end] = begin;
        }
      }
    }
    shares = next;
    begins.push(beginOf);
  }
  return cutsOf(shares[numItems]!, begins, numItems);
}

function cutsOf(cost: number, begins: readonly Int32Array[], numItems: number): Cuts | undefined {
  if (!Number.isFinite(cost)) return undefined;
  const ends: number[] = [];
  for (let run = begins.length - 1, end = numItems; run >= 0; run--) {
    ends.unshift(end);
    end = begins[run]![end]!;
  }
  return { cost, ends };
}

/** Device index of each item. */
export function devicesOfItems(sequence: readonly number[], { ends }: Cuts): readonly number[] {
  return sequence.flatMap((device, run) => Array.from({ length: ends[run]! - (ends[run - 1] ?? 0) }, () => device));
}
