/** A plan as a table for people. */
import {
  type IndexRange,
  type OffloadPlan,
  type OffloadPlanUnit,
  type OffloadUnit,
  type PlacedPart,
  type PlanDevice,
  unitByteLength,
} from "@thermocline/spec";
import { resolvePlan } from "../plan/resolve-plan.js";

const columns = [
  { name: "unit", align: "left" },
  { name: "device", align: "left" },
  { name: "rows", align: "left" },
  { name: "reads", align: "right" },
  { name: "holds", align: "right" },
  { name: "predicted", align: "right" },
  { name: "reason", align: "left" },
] as const;
type Row = Readonly<Record<(typeof columns)[number]["name"], string>>;

/**
 * A line per device, then a table with a line per unit and device, all defaults applied. No trailing spaces, no final newline.
 * `reads` are the bytes of weights read in a step in which every row is active; `holds`, `predicted` and `reason` are what the plan's
 * entries say, and columns that would be empty throughout are left out.
 * @throws InvalidPlanError where the plan does not fit the units.
 */
export function formatPlan(plan: OffloadPlan, units: readonly OffloadUnit[]): string {
  const placement = resolvePlan(plan, { model: plan.model, units });
  const entriesOfUnit = new Map<string, OffloadPlanUnit[]>();
  for (const entry of plan.units) entriesOfUnit.set(entry.id, [...(entriesOfUnit.get(entry.id) ?? []), entry]);
  const rows: Row[] = [];
  const readsOfDevice = new Map<string, { units: number; bytes: number }>();
  for (const unit of units) {
    for (const [index, part] of placement.get(unit.id)!.entries()) {
      const bytes = readBytes(unit, part);
      const total = readsOfDevice.get(part.device) ?? { units: 0, bytes: 0 };
      readsOfDevice.set(part.device, { units: total.units + 1, bytes: total.bytes + bytes });
      rows.push(rowOf(unit, part, bytes, index === 0, entriesOfUnit.get(unit.id) ?? []));
    }
  }
  const deviceLines = Object.entries(plan.devices).map(([id, device]) => {
    const total = readsOfDevice.get(id) ?? { units: 0, bytes: 0 };
    return `${id}  ${describeDevice(device)}; ${total.units} of ${units.length} units wholly or in part, reads ${formatBytes(total.bytes)}`;
  });
  return [`plan for model ${plan.model}`, ...deviceLines, ...predictionLines(plan), "", ...tableLines(rows)].join("\n");
}

function rowOf(unit: OffloadUnit, part: PlacedPart, bytes: number, isFirst: boolean, entries: readonly OffloadPlanUnit[]): Row {
  const own = entries.filter((entry) => entry.device === part.device);
  const sum = (field: "byteLength" | "predictedSeconds") =>
    own.some((entry) => entry[field] !== undefined) ? own.reduce((total, entry) => total + (entry[field] ?? 0), 0) : undefined;
  const held = sum("byteLength");
  const predicted = sum("predictedSeconds");
  return {
    unit: isFirst ? unit.id : "",
    device: part.device,
    rows: unit.rows === undefined ? "" : describeRows(part.rows, unit.rows.count),
    reads: formatBytes(bytes),
    holds: held === undefined ? "" : formatBytes(held),
    predicted: predicted === undefined ? "" : formatSeconds(predicted),
    reason: [...new Set(own.flatMap(({ reason }) => reason ?? []))].join("; "),
  };
}

function readBytes(unit: OffloadUnit, part: PlacedPart): number {
  const bytes = unitByteLength(unit);
  if (part.rows === undefined) return bytes;
  return (bytes * countRows(part.rows)) / unit.rows!.count;
}

function describeDevice({ backend, threads, budgetBytes }: PlanDevice): string {
  const words = [backend];
  if (threads !== undefined) words.push(`${threads} ${threads === 1 ? "thread" : "threads"}`);
  if (budgetBytes !== undefined) words.push(`budget ${formatBytes(budgetBytes)}`);
  return words.join(", ");
}

function countRows(ranges: readonly IndexRange[]): number {
  return ranges.reduce((sum, [, count]) => sum + count, 0);
}

function describeRows(ranges: readonly IndexRange[] | undefined, count: number): string {
  if (ranges === undefined) return `all ${count}`;
  const shown = ranges.slice(0, 2).map(([first, length]) => `${first}-${first + length - 1}`);
  if (ranges.length > shown.length) shown.push(`${ranges.length - shown.length} more ranges`);
  return `${shown.join(", ")} (${Math.round((countRows(ranges) / count) * 100)} %)`;
}

function predictionLines({ predicted }: OffloadPlan): string[] {
  if (predicted === undefined) return [];
  return [
    `predicted  ${formatSeconds(predicted.prefillSeconds)} to the first token, then ${formatSeconds(predicted.secondsPerToken)} a token`,
  ];
}

function tableLines(rows: readonly Row[]): string[] {
  const used = columns.filter(({ name }) => rows.some((row) => row[name] !== ""));
  const header = Object.fromEntries(columns.map(({ name }) => [name, name])) as unknown as Row;
  const all = [header, ...rows];
  const widths = used.map(({ name }) => Math.max(...all.map((row) => row[name].length)));
  return all.map((row) => {
    const cells = used.map(({ name, align }, index) =>
      align === "left" ? row[name].padEnd(widths[index]!) : row[name].padStart(widths[index]!),
    );
    return cells.join("  ").trimEnd();
  });
}

function formatBytes(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  const power = bytes < 1024 ? 0 : Math.min(units.length - 1, Math.floor(Math.log2(bytes) / 10));
  const value = bytes / 1024 ** power;
  return `${power === 0 ? Math.round(value) : value.toFixed(value < 10 ? 2 : 1)} ${units[power]}`;
}

function formatSeconds(seconds: number): string {
  return seconds >= 1
    ? `${seconds.toFixed(2)} s`
    : seconds >= 1e-3
      ? `${(seconds * 1e3).toFixed(2)} ms`
      : `${(seconds * 1e6).toFixed(1)} µs`;
}
