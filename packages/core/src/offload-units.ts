/** The units of a model that a plan places, with their tensors and bytes as the file holds them. */
import {
  type DeviceId,
  dtypes,
  type ModelConfig,
  type ModelSource,
  type OffloadUnit,
  type Placement,
  type UnitKind,
} from "@thermocline/spec";

const layerTensor = /^blk\.(\d+)\.(.+)$/;

function unitOf(tensorName: string): { id: string; kind: UnitKind; layer: number } {
  const match = layerTensor.exec(tensorName);
  if (match === null) {
    return tensorName === "token_embd.weight" ? { id: "embedding", kind: "embedding", layer: -1 } : { id: "head", kind: "head", layer: -1 };
  }
  const layer = Number(match[1]);
  return match[2]!.startsWith("ffn_")
    ? { id: `blk.${layer}.feed-forward`, kind: "feed-forward", layer }
    : { id: `blk.${layer}.attention`, kind: "attention", layer };
}

/** In the order in which a token passes them. A head tied to the embedding names the embedding's tensor too. */
export function listOffloadUnits(source: ModelSource, config: ModelConfig): readonly OffloadUnit[] {
  const units = new Map<string, { id: string; kind: UnitKind; layer: number; tensors: string[]; alwaysBytes: number }>();
  const unit = (id: string, kind: UnitKind, layer: number) => units.set(id, { id, kind, layer, tensors: [], alwaysBytes: 0 });
  unit("embedding", "embedding", -1);
  config.layers.forEach((_, layer) => {
    unit(`blk.${layer}.attention`, "attention", layer);
    unit(`blk.${layer}.feed-forward`, "feed-forward", layer);
  });
  unit("head", "head", -1);
  const add = (id: string, name: string, byteLength: number) => {
    const known = units.get(id);
    if (known === undefined) return;
    known.tensors.push(name);
    known.alwaysBytes += byteLength;
  };
  for (const { name, range } of source.tensors.values()) add(unitOf(name).id, name, range.byteLength);
  const embedding = source.tensors.get("token_embd.weight");
  if (!source.tensors.has("output.weight") && embedding !== undefined) add("head", embedding.name, embedding.range.byteLength);

  return [...units.values()].map((known): OffloadUnit => {
    const common = { ...known, conditionalBytes: 0, activationFrequency: 1 };
    if (known.kind !== "feed-forward") return common;
    // Down is quantised along the neurons, so they are cut only at its whole blocks.
    const down = source.tensors.get(`blk.${known.layer}.ffn_down.weight`);
    const blockSize = down === undefined ? 1 : dtypes[down.dtype].blockSize;
    return { ...common, rows: { count: config.layers[known.layer]!.feedForwardLength, blockSize } };
  });
}

/** Everything on one device. */
export function placeOnOneDevice(units: readonly OffloadUnit[], device: DeviceId): Placement {
  return new Map(units.map(({ id }) => [id, [{ device }]]));
}
