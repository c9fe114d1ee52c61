/** What lies on each device, by class: a bar, and a table of bytes. */
import { memoryClasses, type OffloadPlan } from "@thermocline/spec";
import { classStyles, type ShownClass } from "./class-style.js";
import type { LayoutDevice, PlanLayout } from "./plan-layout.js";
import { formatBytes, formatSeconds, printable } from "./quantities.js";
import type { TerminalStyle } from "./terminal-style.js";
import { barCells, packLines, tableLines } from "./text-table.js";

export function deviceLines(layout: PlanLayout, width: number, style: TerminalStyle): string[] {
  const lines = layout.devices.flatMap((device) => [headOf(device, style), ...(layout.hasBytes ? [barOf(device, width, style)] : [])]);
  if (!layout.hasBytes) return lines;
  const shown = new Set(layout.devices.flatMap((device) => segmentsOf(device).flatMap(([name, bytes]) => (bytes > 0 ? [name] : []))));
  const legend = (Object.keys(classStyles) as ShownClass[])
    .filter((name) => shown.has(name))
    .map((name) => `${fillOf(name, 1, style)} ${name}`);
  return [...lines, ...packLines([`  ${legend[0]}`, ...legend.slice(1)], "  ", width, "  ")];
}

function headOf({ id, device, usedBytes, freeBytes }: LayoutDevice, style: TerminalStyle): string {
  const words = [device.name ?? device.backend];
  if (device.name !== undefined) words.push(device.backend);
  if (device.threads !== undefined) words.push(`${device.threads} ${device.threads === 1 ? "thread" : "threads"}`);
  const account =
    freeBytes === undefined
      ? usedBytes > 0
        ? `; ${formatBytes(usedBytes)}`
        : ""
      : `; ${formatBytes(usedBytes)} of ${formatBytes(device.budgetBytes!)}`;
  return `${style.heading(id)}  ${printable(words.join(", "))}${account}`;
}

function segmentsOf({ classes, reserveBytes, freeBytes = 0 }: LayoutDevice): readonly (readonly [ShownClass, number])[] {
  return [...classes, ["reserve", reserveBytes], ["free", freeBytes]];
}

function barOf(device: LayoutDevice, width: number, style: TerminalStyle): string {
  const segments = segmentsOf(device);
  const parts = segments.map(([, bytes]) => bytes);
  const total = parts.reduce((sum, bytes) => sum + bytes, 0);
  const cells = barCells(parts, total, Math.max(10, width - 4));
  const bar = segments.map(([name], index) => fillOf(name, cells[index]!, style)).join("");
  return style.hasColour ? `  ${bar}` : `  [${bar}]`;
}

function fillOf(name: ShownClass, cells: number, style: TerminalStyle): string {
  const block = name === "free" ? "\u2591" : name === "reserve" ? "\u2592" : "\u2588";
  return style.fill(cells, { ...classStyles[name], block });
}

/** A row for each class with bytes, and what is left; a column for each device, and their sum where there is more than one. */
export function classTableLines(plan: OffloadPlan, { devices }: PlanLayout): string[] {
  const several = devices.length > 1;
  const bytesOf = (device: LayoutDevice, name: string) => device.classes.find(([known]) => known === name)?.[1] ?? 0;
  const row = (title: string, values: readonly (number | undefined)[], sum?: number) => [
    title,
    ...values.map((bytes) => (bytes ? formatBytes(bytes) : "-")),
    ...(several ? [sum === undefined ? "" : formatBytes(sum)] : []),
  ];
  const sumOf = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0);
  const rows = memoryClasses.flatMap((name) => {
    const values = devices.map((device) => bytesOf(device, name));
    return values.some((bytes) => bytes > 0) ? [row(name, values, sumOf(values))] : [];
  });
  const used = devices.map(({ usedBytes }) => usedBytes);
  rows.push(row(plan.estimates?.length ? "at most" : "together", used, sumOf(used)));
  if (devices.some(({ reserveBytes }) => reserveBytes > 0))
    rows.push(
      row(
        "kept free",
        devices.map(({ reserveBytes }) => reserveBytes),
      ),
    );
  if (devices.some(({ freeBytes }) => freeBytes !== undefined))
    rows.push(
      row(
        "left",
        devices.map(({ freeBytes }) => freeBytes),
      ),
    );
  const seconds = devices.map(({ id }) => sumOf(plan.units.map((entry) => (entry.device === id ? (entry.predictedSeconds ?? 0) : 0))));
  if (seconds.some((value) => value > 0))
    rows.push(["busy a step", ...seconds.map((value) => (value > 0 ? formatSeconds(value) : "-")), ...(several ? [""] : [])]);
  const titles = ["", ...devices.map(({ id }) => id), ...(several ? ["all"] : [])];
  return tableLines(
    titles.map((title, index) => ({ title, align: index === 0 ? "left" : "right" })),
    rows,
  );
}
