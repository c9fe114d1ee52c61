/** Placements at random: units whole on any device, or their blocks dealt out. */
import type { DeviceId, IndexRange, OffloadUnit, PlacedPart, Placement } from "@thermocline/spec";

/** From 0 to n - 1. */
type Random = (n: number) => number;

/** Deals the blocks of a unit's rows out to devices; some may get none. */
export function dealRows(count: number, blockSize: number, devices: readonly DeviceId[], random: Random): readonly PlacedPart[] {
  const owners = Array.from({ length: count / blockSize }, () => devices[random(devices.length)]!);
  const parts = devices.flatMap((device): PlacedPart[] => {
    const rows: [number, number][] = [];
    owners.forEach((owner, block) => {
      if (owner !== device) return;
      const last = rows.at(-1);
      if (last !== undefined && last[0] + last[1] === block * blockSize) last[1] += blockSize;
      else rows.push([block * blockSize, blockSize]);
    });
    return rows.length === 0 ? [] : [{ device, rows: rows as readonly IndexRange[] }];
  });
  return parts.length === 1 ? [{ device: parts[0]!.device }] : parts;
}

/** Units in `kept` lie on the first device. */
export function placeAtRandom(
  units: readonly OffloadUnit[],
  devices: readonly DeviceId[],
  random: Random,
  kept: readonly string[] = [],
): Placement {
  return new Map(
    units.map((unit) => {
      if (kept.includes(unit.id)) return [unit.id, [{ device: devices[0]! }]];
      if (unit.rows === undefined || random(4) === 0) return [unit.id, [{ device: devices[random(devices.length)]! }]];
      const among = random(2) === 0 ? devices : devices.slice(0, 2);
      return [unit.id, dealRows(unit.rows.count, unit.rows.blockSize, among, random)];
    }),
  );
}
