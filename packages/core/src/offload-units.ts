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
const expertTensor = /^ffn_.+_exps\./;
const feedForwardTensor = /^(ffn_|post_ffw_|layer_output_norm\.)/;

/** What makes the first hidden state of a token. */
const embeddingTensor = /^(token_embd|token_embd_norm|token_types|position_embd)\./;

/** Tensors of no layer that are read with the first one: rotary factors. */
const ropeTensor = /^rope_/;

type UnitName = Pick<OffloadUnit, "id" | "kind" | "layer">;

const layerUnit = (kind: UnitKind, layer: number): UnitName => ({ id: `blk.${layer}.${kind}`, kind, layer });
const embeddingUnit: UnitName = { id: "embedding", kind: "embedding", layer: -1 };
const headUnit: UnitName = { id: "head", kind: "head", layer: -1 };

function unitOf(tensorName: string, { layers }: ModelConfig): UnitName {
  const match = layerTensor.exec(tensorName);
  if (match === null) {
    if (ropeTensor.test(tensorName)) return layerUnit("attention", 0);
    return embeddingTensor.test(tensorName) ? embeddingUnit : headUnit;
  }
  const layer = Number(match[1]);
  const name = match[2]!;
  if (!feedForwardTensor.test(name)) return layerUnit("attention", layer);
  if (layers[layer]?.experts === undefined) return layerUnit("feed-forward", layer);
  return layerUnit(expertTensor.test(name) ? "experts" : "router", layer);
}

/** In the order in which a token passes them. A head tied to the embedding names the embedding's tensor too. */
export function listOffloadUnits(source: ModelSource, config: ModelConfig): readonly OffloadUnit[] {
  const units = new Map<string, UnitName & { tensors: string[]; byteLength: number }>();
  const unit = (name: UnitName) => units.set(name.id, { ...name, tensors: [], byteLength: 0 });
  unit(embeddingUnit);
  config.layers.forEach(({ experts }, layer) => {
    unit(layerUnit("attention", layer));
    for (const kind of experts === undefined ? (["feed-forward"] as const) : (["router", "experts"] as const)) unit(layerUnit(kind, layer));
  });
  unit(headUnit);
  const add = (id: string, name: string, byteLength: number) => {
    const known = units.get(id);
    if (known === undefined) return;
    known.tensors.push(name);
    known.byteLength += byteLength;
  };
  for (const { name, range } of source.tensors.values()) add(unitOf(name, config).id, name, range.byteLength);
  const embedding = source.tensors.get("token_embd.weight");
  const isTied = config.pooling === undefined && !source.tensors.has("output.weight");
  if (isTied && embedding !== undefined) add("head", embedding.name, embedding.range.byteLength);

  return [...units.values()].map(({ byteLength, ...known }): OffloadUnit => {
    const always = { ...known, alwaysBytes: byteLength, conditionalBytes: 0, activationFrequency: 1 };
    const { experts, feedForwardLength } = config.layers[known.layer] ?? {};
    if (known.kind === "experts") {
      const { count, used } = experts!;
      const rows = { count, blockSize: 1 };
      return { ...always, rows, alwaysBytes: 0, conditionalBytes: byteLength, activationFrequency: used / count };
    }
    if (known.kind !== "feed-forward") return always;
    // Down is quantised along the neurons, so they are cut only at its whole blocks.
    const down = source.tensors.get(`blk.${known.layer}.ffn_down.weight`);
    const blockSize = down === undefined ? 1 : dtypes[down.dtype].blockSize;
    return { ...always, rows: { count: feedForwardLength!, blockSize } };
  });
}

/** Everything on one device. */
export function placeOnOneDevice(units: readonly OffloadUnit[], device: DeviceId): Placement {
  return new Map(units.map(({ id }) => [id, [{ device }]]));
}
