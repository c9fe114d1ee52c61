/** What a placement takes: as the problem counts it, and as the engine will reserve it. */
import {
  assert,
  type BytesByClass,
  type DeviceId,
  type MemoryClass,
  type MemoryDemand,
  type OffloadUnit,
  type PlacedBytes,
  type PlacedPart,
  type Placement,
} from "@thermocline/spec";
import type { PlanContext } from "./plan-context.js";

export interface ExactBytes {
  /** Every device that anything is reserved on. */
  readonly byDevice: ReadonlyMap<DeviceId, BytesByClass>;
  readonly totals: ReadonlyMap<DeviceId, number>;
  readonly reservations: readonly PlacedBytes[];
}

/** Rows of a part in whole blocks. */
export function numBlocksIn(unit: OffloadUnit, part: PlacedPart): number {
  const { count, blockSize } = unit.rows!;
  return (part.rows ?? [[0, count]]).reduce((sum, [, length]) => sum + Math.ceil(length / blockSize), 0);
}

/** Bytes of weights and cache that a part takes at most, as `UnitBytes` counts them. */
export function partBytesOf(demand: MemoryDemand, unit: OffloadUnit, part: PlacedPart): { weightBytes: number; kvCacheBytes: number } {
  const bytes = demand.devices[part.device]?.units[unit.id];
  assert(bytes !== undefined, `${unit.id} lies on ${part.device}, which cannot hold it`);
  if (part.rows === undefined) return bytes;
  assert(bytes.part !== undefined, `${unit.id} is split on ${part.device}, whose demand knows no parts of it`);
  const { fixedBytes, bytesPerBlock } = bytes.part;
  return { weightBytes: fixedBytes + numBlocksIn(unit, part) * bytesPerBlock, kvCacheBytes: 0 };
}

/** By device: bytes of units as a problem counts them. */
export function unitBytesByDevice(demand: MemoryDemand, placement: Placement): Map<DeviceId, number> {
  const totals = new Map<DeviceId, number>();
  for (const unit of demand.units)
    for (const part of placement.get(unit.id)!) {
      const { weightBytes, kvCacheBytes } = partBytesOf(demand, unit, part);
      totals.set(part.device, (totals.get(part.device) ?? 0) + weightBytes + kvCacheBytes);
    }
  return totals;
}

/** Bytes that a device takes at most beside its units; of a device without units, its runtime's alone. */
export function overheadBytesOf({ overheadBytes }: { readonly overheadBytes: BytesByClass }): number {
  return Object.values(overheadBytes).reduce((sum, bytes) => sum + bytes, 0);
}

/**
 * Every byte that the engine will reserve, of devices that hold a unit or are written to. A device's runtime is counted where the model's
 * own list leaves it out.
 */
export function exactBytesOf({ request, demandDevices, settings }: PlanContext, placement: Placement): ExactBytes {
  const reservations = request.demandModel.bytesOf(demandDevices, settings, placement);
  const used = new Set([...placement.values()].flatMap((parts) => parts.map(({ device }) => device)));
  for (const { device, class: memoryClass, byteLength } of reservations) if (memoryClass !== "context" && byteLength > 0) used.add(device);
  const byDevice = new Map<DeviceId, Partial<Record<MemoryClass, number>>>();
  for (const { id } of demandDevices) if (used.has(id)) byDevice.set(id, {});
  for (const { device, class: memoryClass, byteLength } of reservations) {
    const classes = byDevice.get(device);
    if (classes !== undefined && byteLength > 0) classes[memoryClass] = (classes[memoryClass] ?? 0) + byteLength;
  }
  for (const { id, contextBytes = 0 } of demandDevices) {
    const classes = byDevice.get(id);
    if (classes !== undefined && contextBytes > 0) classes.context ??= contextBytes;
  }
  const totals = new Map([...byDevice].map(([id, classes]) => [id, Object.values(classes).reduce((sum, bytes) => sum + bytes, 0)]));
  return { byDevice, totals, reservations };
}
