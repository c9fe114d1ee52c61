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
import { countRows } from "./plan-layout.js";
import { formatBytes, formatSeconds, formatShare, printable } from "./quantities.js";
import { type Column, tableLines } from "./text-table.js";

const columns: readonly Column[] = [
  { title: "unit", align: "left" },
  { title: "device", align: "left" },
  { title: "rows", align: "left" },
  { title: "reads", align: "right" },
  { title: "holds", align: "right" },
  { title: "predicted", align: "right" },
  { title: "reason", align: "left" },
];

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
  const rows: string[][] = [];
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
  return [`plan for model ${printable(plan.model)}`, ...deviceLines, ...predictionLines(plan), "", ...tableLines(columns, rows)].join("\n");
}

function rowOf(unit: OffloadUnit, part: PlacedPart, bytes: number, isFirst: boolean, entries: readonly OffloadPlanUnit[]): string[] {
  const own = entries.filter((entry) => entry.device === part.device);
  const sum = (field: "byteLength" | "predictedSeconds") =>
    own.some((entry) => entry[field] !== undefined) ? own.reduce((total, entry) => total + (entry[field] ?? 0), 0) : undefined;
  const held = sum("byteLength");
  const predicted = sum("predictedSeconds");
  return [
    isFirst ? unit.id : "",
    part.device,
    unit.rows === undefined ? "" : describeRows(part.rows, unit.rows.count),
    formatBytes(bytes),
    held === undefined ? "" : formatBytes(held),
    predicted === undefined ? "" : formatSeconds(predicted),
    printable([...new Set(own.flatMap(({ reason }) => reason ?? []))].join("; ")),
  ];
}

function readBytes(unit: OffloadUnit, part: PlacedPart): number {
  const bytes = unitByteLength(unit);
  if (part.rows === undefined) return bytes;
  return (bytes * countRows(part.rows)) / unit.rows!.count;
}

function describeDevice({ backend, threads, budgetBytes }: PlanDevice): string {
  const words = [printable(backend)];
  if (threads !== undefined) words.push(`${threads} ${threads === 1 ? "thread" : "threads"}`);
  if (budgetBytes !== undefined) words.push(`budget ${formatBytes(budgetBytes)}`);
  return words.join(", ");
}

function describeRows(ranges: readonly IndexRange[] | undefined, count: number): string {
  if (ranges === undefined) return `all ${count}`;
  const shown = ranges.slice(0, 2).map(([first, length]) => `${first}-${first + length - 1}`);
  if (ranges.length > shown.length) shown.push(`${ranges.length - shown.length} more ranges`);
  return `${shown.join(", ")} (${formatShare(countRows(ranges) / count)})`;
}

function predictionLines({ predicted }: OffloadPlan): string[] {
  if (predicted === undefined) return [];
  return [
    `predicted  ${formatSeconds(predicted.prefillSeconds)} to the first token, then ${formatSeconds(predicted.secondsPerToken)} a token`,
  ];
}
