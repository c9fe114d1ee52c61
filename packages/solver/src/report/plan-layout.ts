/** A plan's entries by unit and by device, as the reports read them: nothing here but what the plan says of itself. */
import {
  type BytesByClass,
  type DeviceId,
  type IndexRange,
  type MemoryClass,
  memoryClasses,
  type OffloadPlan,
  type OffloadPlanUnit,
  type PlanDevice,
} from "@thermocline/spec";

/** What one entry of a plan says. */
export interface LayoutPart {
  readonly device: DeviceId;
  /** Of the unit's rows: 0 to 1. */
  readonly share: number;
  readonly entry: OffloadPlanUnit;
  /** 0 where the plan does not say. */
  readonly weightBytes: number;
  readonly kvCacheBytes: number;
}

export interface LayoutUnit {
  readonly id: string;
  /** "attention", "experts", …; of a unit that has no layer its id. */
  readonly kind: string;
  readonly layer: number;
  /** The hottest first; where no frequency is known, in the order of the plan's devices. */
  readonly parts: readonly LayoutPart[];
}

export interface LayoutDevice {
  readonly id: DeviceId;
  readonly device: PlanDevice;
  /** All classes with bytes but `reserve`, in spec's order. */
  readonly classes: readonly (readonly [MemoryClass, number])[];
  readonly usedBytes: number;
  readonly reserveBytes: number;
  /** Of the budget; absent where the device has none. */
  readonly freeBytes?: number;
}

export interface PlanLayout {
  readonly devices: readonly LayoutDevice[];
  /** In the order in which a token passes them: embedding, layers, head. */
  readonly units: readonly LayoutUnit[];
  /** Whether the plan says how many bytes anything takes. */
  readonly hasBytes: boolean;
}

const layerId = /^blk\.(\d+)\.(.+)$/;
const kindOrder = ["attention", "router", "predictor", "feed-forward", "shared-experts", "experts"];

/** A plan must have been parsed; whether it fits a model is not asked. */
export function layoutOf(plan: OffloadPlan): PlanLayout {
  const entriesOfUnit = new Map<string, OffloadPlanUnit[]>();
  for (const entry of plan.units) {
    const entries = entriesOfUnit.get(entry.id);
    if (entries === undefined) entriesOfUnit.set(entry.id, [entry]);
    else entries.push(entry);
  }
  const deviceIds = Object.keys(plan.devices);
  const units = [...entriesOfUnit].map(([id, entries]) => layoutUnit(id, entries, deviceIds)).sort(compareUnits);
  const devices = deviceIds.map((id) => layoutDevice(plan, id, units));
  return { devices, units, hasBytes: devices.some(({ usedBytes }) => usedBytes > 0) };
}

export function countRows(ranges: readonly IndexRange[]): number {
  return ranges.reduce((sum, [, count]) => sum + count, 0);
}

function layoutUnit(id: string, entries: readonly OffloadPlanUnit[], deviceIds: readonly DeviceId[]): LayoutUnit {
  const match = layerId.exec(id);
  const numRows = entries.reduce((sum, { rows }) => sum + countRows(rows ?? []), 0);
  const parts = entries.map(
    (entry): LayoutPart => ({
      device: entry.device,
      share: entry.rows === undefined ? 1 : countRows(entry.rows) / numRows,
      entry,
      weightBytes: (entry.byteLength ?? 0) - (entry.kvCacheByteLength ?? 0),
      kvCacheBytes: entry.kvCacheByteLength ?? 0,
    }),
  );
  const heat = ({ entry }: LayoutPart) => entry.activationFrequency ?? 0;
  parts.sort((a, b) => heat(b) - heat(a) || deviceIds.indexOf(a.device) - deviceIds.indexOf(b.device));
  return { id, kind: match?.[2] ?? id, layer: match === null ? -1 : Number(match[1]), parts };
}

function compareUnits(a: LayoutUnit, b: LayoutUnit): number {
  const place = ({ id, layer }: LayoutUnit) => (layer >= 0 ? layer : id === "head" ? Number.POSITIVE_INFINITY : -1);
  const [placeA, placeB] = [place(a), place(b)];
  return placeA === placeB ? kindOrder.indexOf(a.kind) - kindOrder.indexOf(b.kind) : placeA - placeB;
}

function layoutDevice({ devices, bytes }: OffloadPlan, id: DeviceId, units: readonly LayoutUnit[]): LayoutDevice {
  const device = devices[id]!;
  const stated = bytes?.[id] ?? (bytes === undefined ? sumOfParts(id, units) : {});
  const classes = memoryClasses.flatMap((name) => {
    const byteLength = name === "reserve" ? 0 : (stated[name] ?? 0);
    return byteLength > 0 ? [[name, byteLength] as const] : [];
  });
  const usedBytes = classes.reduce((sum, [, byteLength]) => sum + byteLength, 0);
  const reserveBytes = Math.max(device.reserveBytes ?? 0, stated.reserve ?? 0);
  const { budgetBytes } = device;
  const free = budgetBytes === undefined ? {} : { freeBytes: Math.max(0, budgetBytes - usedBytes - reserveBytes) };
  return { id, device, classes, usedBytes, reserveBytes, ...free };
}

function sumOfParts(id: DeviceId, units: readonly LayoutUnit[]): BytesByClass {
  const own = units.flatMap(({ parts }) => parts.filter(({ device }) => device === id));
  const sum = (field: "weightBytes" | "kvCacheBytes") => own.reduce((total, part) => total + part[field], 0);
  return { weights: sum("weightBytes"), "kv-cache": sum("kvCacheBytes") };
}
