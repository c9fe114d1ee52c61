/** The differences of two plans as text. */
import type { Change, PlanComparison, UnitMove } from "./compare-plans.js";
import { formatBytes, formatCount, formatSeconds, formatShareRange, plural, printable } from "./quantities.js";
import { type TerminalStyle, terminalStyle } from "./terminal-style.js";
import { type Column, tableLines, wrapLines } from "./text-table.js";

export interface FormatComparisonOptions {
  /** Columns for sentences; default 100. */
  readonly width?: number;
  /** ANSI colours; default: none. */
  readonly colour?: boolean;
}

const columns = (...titles: readonly string[]): readonly Column[] =>
  titles.map((title, index) => ({ title, align: index === 0 ? "left" : "right" }));

/** Notes, then tables of what differs: predictions, bytes, settings and machine, units that moved. No final newline. */
export function formatComparison(comparison: PlanComparison, { width = 100, colour = false }: FormatComparisonOptions = {}): string {
  const style = terminalStyle(colour);
  const { notes, moved, bytes, predicted, fields } = comparison;
  if (notes.length + moved.length + bytes.length + fields.length === 0 && predicted.every(({ before, after }) => before === after))
    return "The plans are the same.";
  const sections = [
    notes.flatMap((note) => wrapLines(note, width)),
    table(
      "predicted",
      ["", "first", "second", ""],
      predicted.map((row) => [predictionNames[row.name] ?? row.name, ...pair(row, formatSeconds), ratioOf(row)]),
      style,
    ),
    table(
      "bytes",
      ["", "first", "second", "difference"],
      bytes.map((row) => [`${row.device} ${row.class === "all" ? "together" : row.class}`, ...pair(row, formatBytes), differenceOf(row)]),
      style,
    ),
    table(
      "stated",
      ["", "first", "second"],
      fields.map((row) => [printable(row.name), ...pair(row, row.name.endsWith("Bytes") ? describeBytes : describeValue)]),
      style,
    ),
    movedLines(moved, width, style),
  ];
  return sections
    .filter((lines) => lines.length > 0)
    .map((lines) => lines.join("\n"))
    .join("\n\n");
}

const predictionNames: Readonly<Record<string, string>> = {
  prefillSeconds: "to the first token",
  secondsPerToken: "between tokens",
  workloadSeconds: "the workload",
};

function table(heading: string, titles: readonly string[], rows: readonly (readonly string[])[], style: TerminalStyle): string[] {
  return rows.length === 0 ? [] : [style.heading(heading), ...tableLines(columns(...titles), rows)];
}

function pair<T>({ before, after }: Change<T>, format: (value: T) => string): [string, string] {
  return [before === undefined ? "-" : format(before), after === undefined ? "-" : format(after)];
}

/** Hashes and addresses are told apart by less. */
const longestText = 36;
const describeText = (text: string) => printable(text.length > longestText ? `${text.slice(0, longestText - 3)}...` : text);

const describeValue = (value: string | number) =>
  typeof value === "string" ? describeText(value) : Number.isInteger(value) ? formatCount(value) : value.toPrecision(4);

const describeBytes = (value: string | number) => (typeof value === "number" ? formatBytes(value) : printable(value));

/** "1.61 times as fast", "as fast". */
function ratioOf({ before, after }: Change<number>): string {
  if (!before || !after) return "";
  const ratio = before / after;
  return Math.abs(ratio - 1) < 0.0005 ? "as fast" : `${ratio.toFixed(ratio < 10 ? 2 : 1)} times as fast`;
}

function differenceOf({ before = 0, after = 0 }: Change<number>): string {
  return `${after < before ? "-" : "+"}${formatBytes(Math.abs(after - before))}`;
}

/** Units of a kind that moved between the same devices are told together, the most bytes first. */
function movedLines(moved: readonly UnitMove[], width: number, style: TerminalStyle): string[] {
  if (moved.length === 0) return [];
  const groups = new Map<string, UnitMove[]>();
  for (const move of moved) {
    const key = JSON.stringify([kindOf(move.id), Object.keys(move.before).sort(), Object.keys(move.after).sort()]);
    groups.set(key, [...(groups.get(key) ?? []), move]);
  }
  const bytesOf = (moves: readonly UnitMove[]) => moves.reduce((sum, { byteLength = 0 }) => sum + byteLength, 0);
  const sorted = [...groups.values()].sort((a, b) => bytesOf(b) - bytesOf(a));
  const total = bytesOf(moved);
  return [
    style.heading(`moved: ${plural(moved.length, "unit")}${total > 0 ? `, ${formatBytes(total)}` : ""}`),
    ...sorted.flatMap((moves) => {
      const amount = bytesOf(moves) > 0 ? `${formatBytes(bytesOf(moves))} of ` : "";
      const places = (["before", "after"] as const).map((side) => describeShares(moves.map((move) => move[side])));
      const text = `  ${amount}${kindOf(moves[0]!.id)}${layersOf(moves)} from ${places[0]} to ${places[1]}`;
      return wrapLines(printable(text), width, "    ");
    }),
  ];
}

/** "cuda:0 13-18 % + cpu:0 82-87 %", or the device that has all. */
function describeShares(sides: readonly UnitMove["before"][]): string {
  const devices = Object.keys(sides[0]!);
  if (devices.length === 1) return devices[0]!;
  return devices.map((device) => `${device} ${formatShareRange(sides.map((shares) => shares[device]!))}`).join(" + ");
}

const layerId = /^blk\.(\d+)\.(.+)$/;

function kindOf(id: string): string {
  return layerId.exec(id)?.[2] ?? id;
}

/** " of layers 3-7, 9": runs of numbers. */
function layersOf(moves: readonly UnitMove[]): string {
  const layers = moves.flatMap(({ id }) => layerId.exec(id)?.[1] ?? []).map(Number);
  if (layers.length === 0) return "";
  const runs: [number, number][] = [];
  for (const layer of layers.sort((a, b) => a - b)) {
    const last = runs.at(-1);
    if (last !== undefined && last[1] === layer - 1) last[1] = layer;
    else runs.push([layer, layer]);
  }
  const shown = runs.map(([first, last]) => (first === last ? `${first}` : `${first}-${last}`));
  return ` of ${layers.length === 1 ? "layer" : "layers"} ${shown.join(", ")}`;
}
