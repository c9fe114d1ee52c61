/** The memory map: for each device its tape in rows, to one scale. */
import type { LayoutDevice, PlanLayout } from "../plan-layout.js";
import { formatBytes, plural } from "../quantities.js";
import type { Heat } from "./heat.js";
import { piecesOf, scaleOf, type TapeCell, type TapePiece, tapeOf } from "./memory-tape.js";
import { group, label, px, rectangle, shorten } from "./svg-text.js";

/** A stack of drawn things: its markup, drawn from `y` on, and its height. */
export interface Drawn {
  readonly markup: string;
  readonly height: number;
}

const rowHeight = 22;
const rowPitch = 25;
const gutter = 58;

export function drawMemory(layout: PlanLayout, heat: Heat, x: number, y: number, width: number): Drawn {
  const { bytesPerRow, showsAllFree } = scaleOf(layout.devices);
  let top = y;
  const parts = layout.devices.map((device) => {
    const tape = tapeOf(device, layout, heat);
    const { cells, omittedBytes } = showsAllFree ? { cells: tape, omittedBytes: 0 } : cutFree(tape, bytesPerRow);
    const pieces = piecesOf(cells, bytesPerRow);
    const numRows = Math.max(1, 1 + Math.max(0, ...pieces.map(({ row }) => row)));
    const rows = drawRows(pieces, { x: x + gutter, y: top + 24, width: width - gutter }, bytesPerRow);
    const ticks = Array.from({ length: numRows }, (_, row) =>
      label(
        x + gutter - 8,
        top + 24 + row * rowPitch + 15,
        row === 0 ? "0" : formatBytes(row * bytesPerRow).replace(/\.0+(?= )/, ""),
        "tc-quiet tc-small",
        "end",
      ),
    ).join("");
    const omitted =
      omittedBytes > 0
        ? label(
            x + width,
            top + 24 + numRows * rowPitch + 9,
            `… and ${formatBytes(omittedBytes)} more that are free`,
            "tc-quiet tc-small",
            "end",
          )
        : "";
    const markup = headOf(device, x, top + 12, width) + ticks + rows + omitted;
    top += 24 + numRows * rowPitch + (omittedBytes > 0 ? 14 : 0) + 16;
    return markup;
  });
  return { markup: parts.join(""), height: top - y };
}

function headOf({ id, device, usedBytes, freeBytes }: LayoutDevice, x: number, y: number, width: number): string {
  const words = [device.name || device.backend];
  if (device.threads !== undefined) words.push(plural(device.threads, "thread"));
  const account = freeBytes === undefined ? formatBytes(usedBytes) : `${formatBytes(usedBytes)} of ${formatBytes(device.budgetBytes!)}`;
  const name = `<tspan class="tc-strong">${shorten(id, 24)}</tspan>`;
  // An id has no character that XML knows.
  return (
    label(x, y, "", "tc-ink").replace("></text>", `>${name}</text>`) +
    label(x + gutter + 8, y, shorten(words.join(", "), 84), "tc-quiet") +
    label(x + width, y, account, "tc-ink", "end")
  );
}

/** Shortens the free space, which is last, to the end of the row that it begins in. */
function cutFree(tape: readonly TapeCell[], bytesPerRow: number): { readonly cells: readonly TapeCell[]; readonly omittedBytes: number } {
  const free = tape.at(-1);
  if (free?.class !== "free") return { cells: tape, omittedBytes: 0 };
  const others = tape.slice(0, -1);
  const taken = others.reduce((sum, { byteLength }) => sum + byteLength, 0);
  const shown = Math.min(free.byteLength, Math.max(1, Math.ceil(taken / bytesPerRow)) * bytesPerRow - taken);
  return { cells: shown > 0 ? [...others, { ...free, byteLength: shown }] : others, omittedBytes: free.byteLength - shown };
}

interface Area {
  readonly x: number;
  readonly y: number;
  readonly width: number;
}

function drawRows(pieces: readonly TapePiece[], area: Area, bytesPerRow: number): string {
  const scale = area.width / bytesPerRow;
  const byCell = new Map<TapeCell, TapePiece[]>();
  for (const piece of pieces) {
    const own = byCell.get(piece.cell);
    if (own === undefined) byCell.set(piece.cell, [piece]);
    else own.push(piece);
  }
  const labelled = new Set<string>();
  const shapesOf = (piece: TapePiece) => {
    const { cell, isWidest, width } = piece;
    const text = cell.label ?? "";
    const hasRoom = isWidest && text !== "" && !labelled.has(`${cell.class} ${text}`) && width * scale > text.length * 6.2 + 6;
    if (hasRoom) labelled.add(`${cell.class} ${text}`);
    return drawPiece(piece, area, scale, hasRoom ? text : "");
  };
  return [...byCell].map(([cell, own]) => group(cell.tooltip, own.map(shapesOf).join(""))).join("");
}

function drawPiece({ cell, row, offset, width }: TapePiece, area: Area, scale: number, text: string): string {
  const left = area.x + offset * scale;
  const top = area.y + row * rowPitch;
  const pixels = width * scale;
  // Layers stand a little apart, units of a layer a hair.
  const gap = cell.continues ? Math.min(0.6, pixels / 6) : Math.min(1.4, pixels / 4);
  const box = { x: left + gap, y: top, width: Math.max(pixels - gap, 0.4), height: rowHeight };
  const look = `class="${cell.look ?? `tc-${cell.class}`}"${cell.opacity < 1 ? ` fill-opacity="${px(cell.opacity)}"` : ""}${pixels > 6 ? ' rx="1.5"' : ""}`;
  const classes = cell.opacity < 0.65 ? "tc-on-pale" : "tc-on-cell";
  return rectangle(box, look) + (text === "" ? "" : label(left + gap + 4, top + 15, text, classes));
}
