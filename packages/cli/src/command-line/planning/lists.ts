/** What can be pinned, and what lives between the commands of a step. */
import { type Intermediate, type OffloadUnit, unitByteLength } from "@thermocline/spec";
import { formatBytes } from "../../format-bytes.js";
import { formatTable } from "../../format-table.js";

export function formatUnits(units: readonly OffloadUnit[]): string {
  const rows = units.map((unit) => {
    const { id, rows: split, weights, kvCache } = unit;
    const dtypes = weights.map(({ dtype }) => dtype).join(", ");
    const cut = split === undefined ? "" : `${split.count} in blocks of ${split.blockSize}`;
    return [id, formatBytes(unitByteLength(unit)), dtypes, cut, kvCache === undefined ? "" : windowText(kvCache.slidingWindow)];
  });
  return formatTable([["unit", "weights", "types", "rows", "cache"], ...rows], new Set([1]));
}

function windowText(slidingWindow: number | undefined): string {
  return slidingWindow === undefined ? "all tokens" : `window of ${slidingWindow}`;
}

/** By device and region, the largest first. */
export function formatIntermediates(intermediates: readonly Intermediate[]): string {
  const sorted = [...intermediates].sort(
    (a, b) =>
      compareTexts(a.device, b.device) || compareTexts(a.region, b.region) || b.byteLength - a.byteLength || a.firstUse - b.firstUse,
  );
  const rows = sorted.map(({ device, region, name, byteLength, byteOffset, firstUse, lastUse }) => [
    device,
    region,
    String(byteLength),
    String(byteOffset),
    String(firstUse),
    String(lastUse),
    name,
  ]);
  const header = ["device", "region", "bytes", "offset", "first use", "last use", "name"];
  return [formatTable([header, ...rows], new Set([2, 3, 4, 5])), "", ...totals(intermediates)].join("\n");
}

function totals(intermediates: readonly Intermediate[]): string[] {
  const places = new Map<string, { sum: number; end: number; count: number }>();
  for (const { device, region, byteLength, byteOffset } of intermediates) {
    const known = places.get(`${device} ${region}`) ?? { sum: 0, end: 0, count: 0 };
    places.set(`${device} ${region}`, {
      sum: known.sum + byteLength,
      end: Math.max(known.end, byteOffset + byteLength),
      count: known.count + 1,
    });
  }
  return [...places].map(
    ([place, { sum, end, count }]) =>
      `${place}: ${count} of ${formatBytes(sum)} together lie in ${formatBytes(end)}, as not all live at once`,
  );
}

function compareTexts(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
