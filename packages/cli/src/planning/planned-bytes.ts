/** A plan's account of bytes against what would be reserved. */
import {
  type BytesByClass,
  type DeviceId,
  InvalidPlanError,
  type MemoryClass,
  memoryClasses,
  type OffloadPlan,
  type PlacedBytes,
} from "@thermocline/spec";

/** What an engine reserves itself: a device's runtime, what stays free and mapped files are not its allocations. */
const allocatedClasses = memoryClasses.filter((name) => !["context", "reserve", "mapped-file"].includes(name));

export function sumByDevice(placed: readonly PlacedBytes[]): Readonly<Record<DeviceId, BytesByClass>> {
  const sums: Record<DeviceId, Partial<Record<MemoryClass, number>>> = {};
  for (const { device, class: memoryClass, byteLength } of placed) {
    sums[device] ??= {};
    sums[device][memoryClass] = (sums[device][memoryClass] ?? 0) + byteLength;
  }
  return sums;
}

export function totalBytes(bytes: BytesByClass = {}): number {
  return allocatedClasses.reduce((sum, memoryClass) => sum + (bytes[memoryClass] ?? 0), 0);
}

/**
 * @throws InvalidPlanError naming device and class where the plan states other bytes than the same settings take; a plan whose bytes are
 * upper bounds, or that states none, is not held to them.
 */
export function checkPlannedBytes({ bytes, estimates = [] }: OffloadPlan, placed: readonly PlacedBytes[]): void {
  if (bytes === undefined || estimates.length > 0) return;
  const actual = sumByDevice(placed);
  for (const device of new Set([...Object.keys(bytes), ...Object.keys(actual)])) {
    for (const memoryClass of allocatedClasses) {
      const stated = bytes[device]?.[memoryClass] ?? 0;
      const needed = actual[device]?.[memoryClass] ?? 0;
      if (stated === needed) continue;
      throw new InvalidPlanError(
        `bytes["${device}"].${memoryClass}`,
        `is ${stated}, the units that it places there take ${needed}`,
        "make the plan again, or take its bytes away",
      );
    }
  }
}
