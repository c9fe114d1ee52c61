/** Offsets of a device's activations in one arena, from the first and last command that touches each. */
import { type Command, tensorsOf } from "@thermocline/spec";
import type { DraftBuffer } from "./draft-buffer.js";

export interface ArenaPlan {
  /** Byte offset of each activation by id; undefined for one that is never used or lives in host memory. */
  readonly offsets: readonly (number | undefined)[];
  /** Index of the last command that touches each activation. */
  readonly lastUses: readonly (number | undefined)[];
  readonly byteLength: number;
}

interface Lifetime {
  readonly id: number;
  readonly byteLength: number;
  readonly first: number;
  last: number;
}

interface Layout {
  /** By activation id. */
  readonly offsets: ReadonlyMap<number, number>;
  readonly byteLength: number;
}

interface Placed {
  readonly offset: number;
  readonly end: number;
  /** Position in the order of the last activation that found it among its neighbours. */
  seenBy: number;
}

type Order = (a: Lifetime, b: Lifetime) => number;

const numCommandsOf = ({ first, last }: Lifetime) => last - first + 1;
/** Where one of them leaves gaps, the other seldom does. */
const orders: readonly Order[] = [
  (a, b) => numCommandsOf(b) * b.byteLength - numCommandsOf(a) * a.byteLength || a.first - b.first,
  (a, b) => b.byteLength - a.byteLength || a.first - b.first,
];
const maxRepairs = 8;

/**
 * Each activation at the lowest offset where it overlaps none that lives at the same time and was placed before it. Two activations of one
 * command live at the same time, so no kernel writes over its own input unless the graph says so.
 *
 * No arena is smaller than what lives at once. Where an order of placing leaves gaps and so needs more, the next one is tried, and then
 * those activations go first that came to lie too high.
 */
export function planArena(commands: readonly Command[], numActivations: number, alignment: number): ArenaPlan {
  const lifetimes = [...lifetimesOf(commands, alignment).values()];
  const leastBytes = mostBytesAtOnce(lifetimes, commands.length);
  let best: Layout | undefined;
  const attempt = (order: readonly Lifetime[]) => {
    const layout = placeInOrder(order, commands.length);
    if (best === undefined || layout.byteLength < best.byteLength) best = layout;
    return layout;
  };
  for (const order of orders) if (best === undefined || best.byteLength > leastBytes) attempt([...lifetimes].sort(order));
  let order = [...lifetimes].sort(orders[0]!);
  for (let repair = 0; repair < maxRepairs && best!.byteLength > leastBytes; repair++) {
    const { offsets } = attempt(order);
    const isTooHigh = ({ id, byteLength }: Lifetime) => offsets.get(id)! + byteLength > leastBytes;
    order = [...order.filter(isTooHigh), ...order.filter((lifetime) => !isTooHigh(lifetime))];
  }

  const offsets = new Array<number | undefined>(numActivations).fill(undefined);
  const lastUses = new Array<number | undefined>(numActivations).fill(undefined);
  for (const { id, last } of lifetimes) {
    offsets[id] = best!.offsets.get(id)!;
    lastUses[id] = last;
  }
  return { offsets, lastUses, byteLength: best!.byteLength };
}

function placeInOrder(order: readonly Lifetime[], numCommands: number): Layout {
  const placedAt = Array.from({ length: numCommands }, (): Placed[] => []);
  const offsets = new Map<number, number>();
  let byteLength = 0;
  order.forEach((lifetime, position) => {
    // By offset, each once.
    const neighbours: Placed[] = [];
    for (let command = lifetime.first; command <= lifetime.last; command++) {
      for (const other of placedAt[command]!) {
        if (other.seenBy === position) continue;
        other.seenBy = position;
        let index = neighbours.push(other) - 1;
        for (; index > 0 && neighbours[index - 1]!.offset > other.offset; index--) neighbours[index] = neighbours[index - 1]!;
        neighbours[index] = other;
      }
    }
    let offset = 0;
    for (const other of neighbours) {
      if (offset + lifetime.byteLength <= other.offset) break;
      offset = Math.max(offset, other.end);
    }
    const end = offset + lifetime.byteLength;
    const placed: Placed = { offset, end, seenBy: -1 };
    for (let command = lifetime.first; command <= lifetime.last; command++) placedAt[command]!.push(placed);
    offsets.set(lifetime.id, offset);
    byteLength = Math.max(byteLength, end);
  });
  return { offsets, byteLength };
}

function lifetimesOf(commands: readonly Command[], alignment: number): ReadonlyMap<number, Lifetime> {
  const lifetimes = new Map<number, Lifetime>();
  commands.forEach((command, index) => {
    for (const named of tensorsOf(command)) {
      const { region, byteLength } = named[1].buffer as DraftBuffer;
      if (region.kind !== "activation") continue;
      const lifetime = lifetimes.get(region.id);
      if (lifetime === undefined)
        lifetimes.set(region.id, { id: region.id, byteLength: alignUp(byteLength, alignment), first: index, last: index });
      else lifetime.last = index;
    }
  });
  return lifetimes;
}

/** The most bytes of activations that live at the same time: no arena of them is smaller. */
export function mostLiveBytes(commands: readonly Command[], alignment: number): number {
  return mostBytesAtOnce(lifetimesOf(commands, alignment).values(), commands.length);
}

function mostBytesAtOnce(lifetimes: Iterable<Lifetime>, numCommands: number): number {
  const changes = new Float64Array(numCommands + 1);
  for (const { byteLength, first, last } of lifetimes) {
    changes[first] = changes[first]! + byteLength;
    changes[last + 1] = changes[last + 1]! - byteLength;
  }
  let live = 0;
  let most = 0;
  for (const change of changes) {
    live += change;
    most = Math.max(most, live);
  }
  return most;
}

export function alignUp(value: number, alignment: number): number {
  return Math.ceil(value / alignment) * alignment;
}
