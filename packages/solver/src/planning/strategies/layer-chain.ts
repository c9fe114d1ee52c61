/** A priced problem as a chain of whole layers: what strategies that place layer by layer choose from. */
import type { DeviceId, PlacedPart, Placement } from "@thermocline/spec";
import type { PricedProblem, PricedUnit } from "../../pricing/priced-problem.js";

/** A layer, or what lies before the first or behind the last. */
export interface ChainItem {
  /** Units that may lie on every device. */
  readonly units: readonly PricedUnit[];
}

export interface LayerChain {
  readonly priced: PricedProblem;
  /** What makes the first hidden state; apart from the layers, because its home costs little anywhere. */
  readonly embedding: ChainItem;
  /** Layers, then the head. */
  readonly items: readonly ChainItem[];
  /** Device index by unit id, of units that may not lie on every device: pinned, limited, or without a kernel somewhere. */
  readonly fixed: ReadonlyMap<string, number>;
  /** Bytes that are left by device, when the fixed units are there. */
  readonly freeBytes: readonly number[];
}

/** Undefined where the fixed units alone do not fit. */
export function layerChainOf(priced: PricedProblem): LayerChain | undefined {
  const freeBytes = [...priced.budgetBytes];
  const fixed = new Map<string, number>();
  const mayLieAnywhere = ({ wholeSeconds }: PricedUnit) => wholeSeconds.every(Number.isFinite);
  for (const unit of priced.units) {
    if (mayLieAnywhere(unit)) continue;
    const device = cheapestWithRoom(unit, freeBytes);
    if (device === undefined) return undefined;
    fixed.set(unit.unit.id, device);
    freeBytes[device]! -= unit.wholeBytes[device]!;
  }
  const free = priced.units.filter(({ unit }) => !fixed.has(unit.id));
  const layers = new Map<number, PricedUnit[]>();
  const head: PricedUnit[] = [];
  const embedding: PricedUnit[] = [];
  for (const unit of free) {
    const { kind, layer } = unit.unit;
    if (layer >= 0) layers.set(layer, [...(layers.get(layer) ?? []), unit]);
    else (kind === "head" ? head : embedding).push(unit);
  }
  const items = [...layers.values(), head].filter((units) => units.length > 0).map((units) => ({ units }));
  return { priced, embedding: { units: embedding }, items, fixed, freeBytes };
}

function cheapestWithRoom({ wholeSeconds, wholeBytes }: PricedUnit, freeBytes: readonly number[]): number | undefined {
  const able = [...wholeSeconds.keys()].filter(
    (device) => Number.isFinite(wholeSeconds[device]) && wholeBytes[device]! <= freeBytes[device]!,
  );
  return able.sort((a, b) => wholeSeconds[a]! - wholeSeconds[b]!)[0];
}

/** Seconds of all of a workload's hand-overs at one place of the chain. */
export function handOverOf({ handOver }: PricedProblem, from: number, to: number): number {
  return handOver.reduce((sum, phase) => sum + phase[from]![to]!, 0);
}

/** By item and device. */
export interface ItemFigures {
  readonly seconds: readonly (readonly number[])[];
  readonly bytes: readonly (readonly number[])[];
}

/** Sums over the units that an item places itself. */
export function figuresOf(items: readonly ChainItem[], numDevices: number): ItemFigures {
  const sum = (units: readonly PricedUnit[], figures: "wholeSeconds" | "wholeBytes") =>
    Array.from({ length: numDevices }, (_, device) => units.reduce((total, unit) => total + unit[figures][device]!, 0));
  return {
    seconds: items.map(({ units }) => sum(units, "wholeSeconds")),
    bytes: items.map(({ units }) => sum(units, "wholeBytes")),
  };
}

/** A placement from the device index of every unit. */
export function placementOf({ priced }: LayerChain, deviceOf: (unit: PricedUnit) => number): Placement {
  const device = (index: number): DeviceId => priced.problem.devices[index]!.id;
  return new Map(priced.units.map((unit) => [unit.unit.id, [{ device: device(deviceOf(unit)) }] as readonly PlacedPart[]]));
}

/** Ordered choices of devices, at most so many at a time. */
export function sequencesOf(devices: readonly number[]): readonly (readonly number[])[] {
  // Beyond four devices the orders are too many: then the given one, and each device alone.
  if (devices.length > 4) return [devices, [...devices].reverse(), ...devices.map((device) => [device])];
  return devices.flatMap((device) => {
    const others = devices.filter((other) => other !== device);
    return [[device], ...sequencesOf(others).map((rest) => [device, ...rest])];
  });
}
