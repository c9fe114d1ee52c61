/** Which share of each layer lies where. */
import type { OffloadPlan } from "@thermocline/spec";
import { type LayerRun, layerRunsOf, type RunShare } from "./layer-runs.js";
import type { PlanLayout } from "./plan-layout.js";
import { formatBytes, formatShare, formatShareRange, listOf, plural, printable } from "./quantities.js";
import { deviceLook, type TerminalStyle } from "./terminal-style.js";
import { barCells, visibleLength, wrapLines } from "./text-table.js";

const barWidth = 24;

/** A line for each run of layers that lie alike, its bytes, a bar of the devices' shares, and what lies where. */
export function layerLines(layout: PlanLayout, width: number, style: TerminalStyle): string[] {
  const deviceIds = layout.devices.map(({ id }) => id);
  const runs = layerRunsOf(layout.units, deviceIds);
  if (runs.length === 0) return [`every unit on ${deviceIds[0]}`];
  const bytes = runs.map(({ bytesByDevice }) => formatBytes([...bytesByDevice.values()].reduce((sum, value) => sum + value, 0)));
  const labelWidth = Math.max(...runs.map(({ label }) => printable(label).length));
  const bytesWidth = Math.max(...bytes.map((text) => text.length));
  const looks = new Map(deviceIds.map((id, index) => [id, deviceLook(index)]));
  const legend = deviceIds.map((id) => `${style.fill(1, looks.get(id)!)} ${id}`).join("  ");
  const lines = runs.flatMap((run, index) => {
    const amounts = deviceIds.map((id) => run.bytesByDevice.get(id) ?? 0);
    const cells = barCells(
      amounts,
      amounts.reduce((sum, value) => sum + value, 0),
      barWidth,
    );
    const bar = deviceIds.map((id, device) => style.fill(cells[device]!, looks.get(id)!)).join("");
    const head = [printable(run.label).padEnd(labelWidth), ...(layout.hasBytes ? [bytes[index]!.padStart(bytesWidth), bar] : [])].join(
      "  ",
    );
    const indent = " ".repeat(visibleLength(head) + 2);
    return wrapLines(`${head}  ${describe(run)}`, width, indent);
  });
  return [...(layout.hasBytes ? [`each layer on  ${legend}`] : []), ...lines];
}

/** "all on cuda:0", "attention and router on cuda:0; experts cuda:0 25-30 %, cpu:0 70-75 %". */
function describe({ kinds, numLayers }: LayerRun): string {
  const texts = new Map<string, string[]>();
  for (const [kind, shares] of kinds) {
    const text = shares.length === 1 ? `on ${shares[0]!.device}` : shares.map(describeShare).join(", ");
    texts.set(text, [...(texts.get(text) ?? []), printable(kind)]);
  }
  const [only] = texts;
  if (texts.size === 1 && only![0].startsWith("on ")) return kinds.size > 1 ? `all ${only![0]}` : only![0];
  const said = [...texts].map(([text, names]) => (kinds.size === 1 && numLayers === 1 ? text : `${listOf(names)} ${text}`));
  return said.join("; ");
}

function describeShare({ device, least, most, activationFrequency }: RunShare): string {
  return `${device} ${formatShareRange([least, most])}${activationFrequency === undefined ? "" : ` (active ${formatShare(activationFrequency)})`}`;
}

/** A line for each reason that the plan gives, with how much lies where because of it; the most bytes first. */
export function reasonLines(plan: OffloadPlan, width: number): string[] {
  const groups = new Map<string, { reason: string; device: string; ids: Set<string>; bytes: number }>();
  for (const { reason, device, id, byteLength = 0 } of plan.units) {
    if (!reason) continue;
    const key = JSON.stringify([reason, device]);
    const group = groups.get(key) ?? { reason, device, ids: new Set(), bytes: 0 };
    group.ids.add(id);
    group.bytes += byteLength;
    groups.set(key, group);
  }
  const sorted = [...groups.values()].sort((a, b) => b.bytes - a.bytes);
  return sorted.flatMap(({ reason, device, ids, bytes }) => {
    const amount = [ids.size === 1 ? printable([...ids][0]!) : plural(ids.size, "unit"), ...(bytes > 0 ? [formatBytes(bytes)] : [])];
    return wrapLines(`  ${device}: ${printable(reason)} (${amount.join(", ")})`, width, "    ");
  });
}
