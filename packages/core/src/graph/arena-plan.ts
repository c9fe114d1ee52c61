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

/**
 * Largest first, each at the lowest offset where it overlaps no activation that lives at the same time. Two activations of one command
 * live at the same time, so no kernel writes over its own input unless the graph says so.
 */
export function planArena(commands: readonly Command[], numActivations: number, alignment: number): ArenaPlan {
  const lifetimes = lifetimesOf(commands, alignment);
  const offsets = new Array<number | undefined>(numActivations).fill(undefined);
  const lastUses = new Array<number | undefined>(numActivations).fill(undefined);
  const placed: Lifetime[] = [];
  let byteLength = 0;
  for (const lifetime of [...lifetimes.values()].sort((a, b) => b.byteLength - a.byteLength || a.first - b.first)) {
    const neighbours = placed
      .filter((other) => other.first <= lifetime.last && lifetime.first <= other.last)
      .sort((a, b) => offsets[a.id]! - offsets[b.id]!);
    let offset = 0;
    for (const other of neighbours) {
      if (offset + lifetime.byteLength <= offsets[other.id]!) break;
      offset = Math.max(offset, offsets[other.id]! + other.byteLength);
    }
    offsets[lifetime.id] = offset;
    lastUses[lifetime.id] = lifetime.last;
    byteLength = Math.max(byteLength, offset + lifetime.byteLength);
    placed.push(lifetime);
  }
  return { offsets, lastUses, byteLength };
}

function lifetimesOf(commands: readonly Command[], alignment: number): ReadonlyMap<number, Lifetime> {
  const lifetimes = new Map<number, Lifetime>();
  commands.forEach((command, index) => {
    for (const [, tensor] of tensorsOf(command)) {
      const { region, byteLength } = tensor.buffer as DraftBuffer;
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
  const changes = new Float64Array(commands.length + 1);
  for (const { byteLength, first, last } of lifetimesOf(commands, alignment).values()) {
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
