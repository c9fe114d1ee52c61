/** Where a plan's units lie, in a phrase a device. */
import type { DeviceId, OffloadPlan } from "@thermocline/spec";
import { formatLayers } from "../format-layers.js";

interface LayerPart {
  readonly kind: string;
  readonly layer: number;
  /** Of the unit's rows. */
  readonly share: number;
}

/**
 * By device, in the plan's order: "layers 0-20; attention of layers 21-31; 25 % of feed-forward of layers 21-31; head". The plan names every
 * unit; devices that hold nothing are left out.
 */
export function describePlacement({ devices, units }: OffloadPlan): ReadonlyMap<DeviceId, string> {
  const numRows = new Map<string, number>();
  const kindsOfLayer = new Map<number, Set<string>>();
  const countRows = (rows: (typeof units)[number]["rows"] = []) => rows.reduce((sum, [, count]) => sum + count, 0);
  for (const { id, rows } of units) {
    numRows.set(id, (numRows.get(id) ?? 0) + countRows(rows));
    const { kind, layer } = partsOfId(id);
    kindsOfLayer.set(layer, (kindsOfLayer.get(layer) ?? new Set<string>()).add(kind));
  }
  const phrases = Object.keys(devices).flatMap((device) => {
    const here = units.filter((unit) => unit.device === device);
    if (here.length === 0) return [];
    const parts = here.map(({ id, rows }) => ({ ...partsOfId(id), share: rows === undefined ? 1 : countRows(rows) / numRows.get(id)! }));
    return [[device, phraseOf(parts, kindsOfLayer)] as const];
  });
  return new Map(phrases);
}

/** "blk.3.feed-forward" is of layer 3, "head" of none. */
function partsOfId(id: string): { readonly kind: string; readonly layer: number } {
  const [, layer, kind] = /^blk\.(\d+)\.(.+)$/.exec(id) ?? [];
  return layer === undefined || kind === undefined ? { kind: id, layer: -1 } : { kind, layer: Number(layer) };
}

function phraseOf(parts: readonly LayerPart[], kindsOfLayer: ReadonlyMap<number, ReadonlySet<string>>): string {
  const inLayers = parts.filter(({ layer }) => layer >= 0);
  const isWhole = (layer: number) =>
    inLayers.filter((part) => part.layer === layer && part.share === 1).length === kindsOfLayer.get(layer)!.size;
  const wholeLayers = [...new Set(inLayers.map(({ layer }) => layer))].filter(isWhole);
  const groups = new Map<string, LayerPart[]>();
  for (const part of inLayers) {
    if (wholeLayers.includes(part.layer)) continue;
    const key = `${part.share === 1 ? "all" : "part"} of ${part.kind}`;
    groups.set(key, [...(groups.get(key) ?? []), part]);
  }
  return [
    ...(wholeLayers.length === 0 ? [] : [formatLayers(wholeLayers)]),
    ...[...groups.values()].map(groupText),
    ...parts.filter(({ layer }) => layer < 0).map(({ kind }) => kind),
  ].join("; ");
}

function groupText(group: readonly LayerPart[]): string {
  const [{ kind, share }] = group as readonly [LayerPart];
  const text = `${kind} of ${formatLayers(group.map(({ layer }) => layer))}`;
  if (share === 1) return text;
  const percents = group.map((part) => Math.round(part.share * 100));
  const [least, most] = [Math.min(...percents), Math.max(...percents)];
  return `${least === most ? most : `${least} to ${most}`} % of ${text}`;
}
