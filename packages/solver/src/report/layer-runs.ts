/** Neighbouring layers whose units lie on the same devices, taken together. */
import type { DeviceId } from "@thermocline/spec";
import type { LayoutUnit } from "./plan-layout.js";

/** What a device holds of one kind of unit in the layers of a run. */
export interface RunShare {
  readonly device: DeviceId;
  /** Least and largest share of a layer's rows. */
  readonly least: number;
  readonly most: number;
  /** Mean over the rows; absent where a plan does not say. */
  readonly activationFrequency?: number;
}

export interface LayerRun {
  /** "layers 0-47", "layer 7", "embedding". */
  readonly label: string;
  readonly numLayers: number;
  /** Of weights, KV cache and state. */
  readonly bytesByDevice: ReadonlyMap<DeviceId, number>;
  /** By kind, shares in the order of the devices. */
  readonly kinds: ReadonlyMap<string, readonly RunShare[]>;
}

export function layerRunsOf(units: readonly LayoutUnit[], deviceIds: readonly DeviceId[]): readonly LayerRun[] {
  const places: LayoutUnit[][] = [];
  for (const unit of units) {
    const last = places.at(-1);
    if (last !== undefined && unit.layer >= 0 && last[0]!.layer === unit.layer) last.push(unit);
    else places.push([unit]);
  }
  const runs: LayoutUnit[][][] = [];
  for (const place of places) {
    const run = runs.at(-1);
    if (run !== undefined && isNext(run.at(-1)!, place) && signatureOf(run[0]!) === signatureOf(place)) run.push(place);
    else runs.push([place]);
  }
  return runs.map((run) => summarize(run, deviceIds));
}

function isNext([before]: readonly LayoutUnit[], [after]: readonly LayoutUnit[]): boolean {
  return after!.layer > 0 && before!.layer === after!.layer - 1;
}

/** Equal for layers that have the same kinds of units on the same devices. */
function signatureOf(place: readonly LayoutUnit[]): string {
  return place.map(({ kind, parts }) => `${kind}=${[...new Set(parts.map(({ device }) => device))].sort().join("+")}`).join(" ");
}

function summarize(run: readonly (readonly LayoutUnit[])[], deviceIds: readonly DeviceId[]): LayerRun {
  const units = run.flat();
  const first = units[0]!;
  const last = units.at(-1)!;
  const layers = first.layer === last.layer ? `layer ${first.layer}` : `layers ${first.layer}-${last.layer}`;
  const kinds = [...new Set(units.map(({ kind }) => kind))];
  const bytesByDevice = new Map<DeviceId, number>();
  for (const { parts } of units)
    for (const { device, weightBytes, kvCacheBytes } of parts)
      bytesByDevice.set(device, (bytesByDevice.get(device) ?? 0) + weightBytes + kvCacheBytes);
  return {
    label: first.layer < 0 ? first.id : layers,
    numLayers: run.length,
    bytesByDevice,
    kinds: new Map(
      kinds.map((kind) => [
        kind,
        sharesOf(
          units.filter((unit) => unit.kind === kind),
          deviceIds,
        ),
      ]),
    ),
  };
}

function sharesOf(units: readonly LayoutUnit[], deviceIds: readonly DeviceId[]): readonly RunShare[] {
  return deviceIds.flatMap((device): RunShare[] => {
    const parts = units.map((unit) => unit.parts.filter((part) => part.device === device));
    const shares = parts.map((own) => own.reduce((sum, { share }) => sum + share, 0));
    const most = Math.max(...shares);
    if (most === 0) return [];
    const known = parts.flat().filter(({ entry }) => entry.activationFrequency !== undefined);
    const rows = known.reduce((sum, { share }) => sum + share, 0);
    const active = known.reduce((sum, { share, entry }) => sum + share * entry.activationFrequency!, 0) / rows;
    return [{ device, least: Math.min(...shares), most, ...(rows > 0 && { activationFrequency: active }) }];
  });
}
