/** A device's memory as one long tape of cells, cut into rows of equal bytes: what is drawn, without any drawing. */
import type { ShownClass } from "../class-style.js";
import type { LayoutDevice, LayoutUnit, PlanLayout } from "../plan-layout.js";
import { formatBytes, formatShare } from "../quantities.js";
import { type Heat, weightsClass } from "./heat.js";

export interface TapeCell {
  readonly class: ShownClass;
  /** CSS class of its fill; absent: that of its memory class. */
  readonly look?: string;
  readonly byteLength: number;
  readonly opacity: number;
  readonly tooltip: string;
  /** Short, drawn once, in the first cell that has room for it: a layer's number. */
  readonly label?: string;
  /** Belongs to the layer of the cell before. */
  readonly continues?: boolean;
}

/** A piece of a cell in one row; `offset` and `width` in bytes. */
export interface TapePiece {
  readonly cell: TapeCell;
  readonly row: number;
  readonly offset: number;
  readonly width: number;
  /** The cell's widest piece, which may have its label. */
  readonly isWidest: boolean;
}

/** Weights by layer, then KV caches by layer, then the other classes, what is kept free, and free space last. */
export function tapeOf(device: LayoutDevice, layout: PlanLayout, heat: Heat): readonly TapeCell[] {
  const bytes = new Map<ShownClass, number>(device.classes);
  const rest = device.classes.filter(([name]) => name !== "weights" && name !== "kv-cache");
  const plain = (name: ShownClass, byteLength: number, what: string = name): TapeCell => ({
    class: name,
    byteLength,
    opacity: 1,
    tooltip: `${what} on ${device.id}: ${formatBytes(byteLength)}`,
  });
  return [
    ...unitCells(device.id, layout, "weights", bytes.get("weights") ?? 0, heat),
    ...unitCells(device.id, layout, "kv-cache", bytes.get("kv-cache") ?? 0, heat),
    ...rest.map(([name, byteLength]) => plain(name, byteLength)),
    ...(device.reserveBytes > 0 ? [plain("reserve", device.reserveBytes, "kept free")] : []),
    ...(device.freeBytes ? [plain("free", device.freeBytes)] : []),
  ];
}

/** Entries may state upper bounds and leave constants out: their cells are scaled to the bytes of the whole class. */
function unitCells(device: string, { units }: PlanLayout, name: "weights" | "kv-cache", classBytes: number, heat: Heat): TapeCell[] {
  const field = name === "weights" ? "weightBytes" : "kvCacheBytes";
  const held = units.flatMap((unit) => unit.parts.flatMap((part) => (part.device === device && part[field] > 0 ? [{ unit, part }] : [])));
  const sum = held.reduce((total, { part }) => total + part[field], 0);
  if (classBytes <= 0) return [];
  if (sum === 0) return [{ class: name, byteLength: classBytes, opacity: 1, tooltip: `${name} on ${device}: ${formatBytes(classBytes)}` }];
  let layer: number | undefined;
  return held.map(({ unit, part }): TapeCell => {
    const continues = unit.layer >= 0 && unit.layer === layer;
    layer = unit.layer;
    const { activationFrequency, reason } = part.entry;
    const facts = [
      formatBytes(part[field]),
      ...(part.share < 1 ? [`${formatShare(part.share)} of its rows`] : []),
      ...(activationFrequency === undefined ? [] : [`active for ${formatShare(activationFrequency)} of tokens`]),
    ];
    return {
      class: name,
      ...(name === "weights" && { look: weightsClass(unit.kind) }),
      byteLength: (part[field] / sum) * classBytes,
      opacity: name === "weights" ? heat.opacityOf(part, unit.kind) : 0.92,
      tooltip: `${nameOf(unit, name)} on ${device}: ${facts.join(", ")}${reason && name === "weights" ? ` (${reason})` : ""}`,
      continues,
      label: unit.layer >= 0 ? String(unit.layer) : unit.id,
    };
  });
}

function nameOf({ id, kind, layer }: LayoutUnit, name: "weights" | "kv-cache"): string {
  if (layer < 0) return id;
  return `layer ${layer} ${name === "kv-cache" ? "KV cache" : kind}`;
}

/** Cuts a tape into rows. */
export function piecesOf(cells: readonly TapeCell[], bytesPerRow: number): readonly TapePiece[] {
  let position = 0;
  return cells.flatMap((cell) => {
    const pieces: Omit<TapePiece, "isWidest">[] = [];
    const end = position + cell.byteLength;
    // A rounding error must not begin a row of its own.
    while (end - position > bytesPerRow * 1e-6) {
      const row = Math.floor(position / bytesPerRow + 1e-9);
      const width = Math.min(end, (row + 1) * bytesPerRow) - position;
      pieces.push({ cell, row, offset: Math.max(0, position - row * bytesPerRow), width });
      position += width;
    }
    position = end;
    const widest = pieces.reduce((best, piece, index) => (piece.width > (pieces[best]?.width ?? 0) ? index : best), 0);
    return pieces.map((piece, index) => ({ ...piece, isWidest: index === widest }));
  });
}

const mostUsedRows = 14;
const mostRows = 22;

export interface TapeScale {
  /** A power of two. */
  readonly bytesPerRow: number;
  /** Free space is drawn to scale; else only up to the end of a row, and the rest is told. */
  readonly showsAllFree: boolean;
}

/** One scale for all devices, so that what lies on them takes a readable number of rows. */
export function scaleOf(devices: readonly LayoutDevice[]): TapeScale {
  const rowsOf = (sizes: readonly number[], bytesPerRow: number) => sizes.reduce((sum, bytes) => sum + Math.ceil(bytes / bytesPerRow), 0);
  const used = devices.map(({ usedBytes, reserveBytes }) => usedBytes + reserveBytes);
  let bytesPerRow = 1024;
  while (rowsOf(used, bytesPerRow) > mostUsedRows + devices.length) bytesPerRow *= 2;
  const all = devices.map(({ usedBytes, reserveBytes, freeBytes = 0 }) => usedBytes + reserveBytes + freeBytes);
  return { bytesPerRow, showsAllFree: rowsOf(all, bytesPerRow) <= mostRows };
}
