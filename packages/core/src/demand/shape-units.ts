/** The units of a model without a graph: the ids, kinds and rows that one with a graph would have. */
import type { OffloadUnit, TensorInfo, UnitKind } from "@thermocline/spec";
import { weightsByDType } from "../unit-weights.js";
import { cacheReadBy, multiplyAddsPerCachedToken, slidingWindowOf, stateBytesPerSequence } from "./kv-cache-bytes.js";
import type { LayerShape, ModelShape } from "./shape.js";
import { expertTensor, singleExpertTensor } from "./shape-feed-forward.js";

export interface ShapeUnit {
  readonly unit: OffloadUnit;
  /** Those that it names. */
  readonly tensors: readonly TensorInfo[];
  /** Of these, those of an earlier unit: a device that holds both has them once. */
  readonly shared?: { readonly unit: string; readonly tensors: readonly TensorInfo[] };
}

const embeddingTensor = /^(token_embd|token_embd_norm|token_types|position_embd|per_layer_)/;
/** Tensors of no layer that are read with the first one: rotary factors. */
const ropeTensor = /^rope_/;
const predictorTensor = /^fc[12]\./;
const sharedExpertTensor = /^ffn_(.+_shexp|gate|up|down)\./;
const feedForwardTensor = /^(ffn_|post_ffw_|layer_output_norm\.|exp_probs_b|channel_mix_)/;

const layerKinds: readonly UnitKind[] = ["attention", "predictor", "feed-forward", "router", "experts", "shared-experts"];

function kindOf(name: string, { feedForward }: LayerShape): UnitKind {
  if (predictorTensor.test(name)) return "predictor";
  if (!feedForwardTensor.test(name)) return "attention";
  if (feedForward.kind !== "experts") return "feed-forward";
  if (expertTensor.test(name) || singleExpertTensor.test(name)) return "experts";
  return sharedExpertTensor.test(name) ? "shared-experts" : "router";
}

/** In the order in which a token passes them. A head tied to the embedding names the embedding's tensor too. */
export function listShapeUnits(shape: ModelShape): readonly ShapeUnit[] {
  const ofNoLayer = (belongs: (name: string) => boolean) => shape.tensors.filter(({ name }) => belongs(name));
  const head = ofNoLayer((name) => !embeddingTensor.test(name) && !ropeTensor.test(name));
  const table = shape.tensors.filter(({ name }) => name === "token_embd.weight");
  const isTied = !shape.isEmbedder && !shape.tensors.some(({ name }) => name === "output.weight");

  const units = [
    makeUnit(
      "embedding",
      "embedding",
      -1,
      ofNoLayer((name) => embeddingTensor.test(name)),
      { activationFrequency: 1 / shape.vocabSize },
    ),
  ];
  shape.layers.forEach((layer, index) => {
    const byKind = new Map<UnitKind, TensorInfo[]>(layerKinds.map((kind) => [kind, []]));
    if (index === 0) byKind.get("attention")!.push(...ofNoLayer((name) => ropeTensor.test(name)));
    for (const [name, info] of layer.tensors) byKind.get(kindOf(name, layer))!.push(info);
    for (const [kind, tensors] of byKind) {
      if (tensors.length > 0) units.push(makeUnit(`blk.${index}.${kind}`, kind, index, tensors, describe(kind, shape.layers, index)));
    }
  });
  units.push(
    isTied
      ? { ...makeUnit("head", "head", -1, [...head, ...table]), shared: { unit: "embedding", tensors: table } }
      : makeUnit("head", "head", -1, head),
  );
  return units;
}

type UnitTraits = Partial<Pick<OffloadUnit, "rows" | "activationFrequency" | "kvCache">>;

function describe(kind: UnitKind, layers: readonly LayerShape[], index: number): UnitTraits {
  const layer = layers[index]!;
  const { feedForward } = layer;
  if (kind === "feed-forward" && feedForward.kind === "dense")
    return { rows: { count: feedForward.neurons, blockSize: feedForward.blockSize } };
  if (kind === "experts" && feedForward.kind === "experts") {
    const { count, used } = feedForward;
    const isPooled = [...layer.tensors.keys()].some((name) => expertTensor.test(name));
    return { ...(isPooled ? { rows: { count, blockSize: 1 } } : {}), activationFrequency: used / count };
  }
  if (kind !== "attention" || (layer.attention.kind === "none" && layer.recurrentState === undefined)) return {};
  const { attention } = layer;
  const slidingWindow = slidingWindowOf(cacheReadBy(attention, layers));
  return {
    kvCache: {
      ...(slidingWindow === undefined ? {} : { slidingWindow }),
      multiplyAddsPerCachedToken: multiplyAddsPerCachedToken(attention, layers),
      stateBytesPerSequence: stateBytesPerSequence(layer),
    },
  };
}

function makeUnit(id: string, kind: UnitKind, layer: number, tensors: readonly TensorInfo[], traits: UnitTraits = {}): ShapeUnit {
  const unit: OffloadUnit = {
    id,
    kind,
    layer,
    tensors: tensors.map(({ name }) => name),
    weights: weightsByDType(tensors, kind === "experts" || kind === "embedding"),
    activationFrequency: 1,
    ...traits,
    // A norm or a product for each tensor, which adds its bias; rotation, storing, attention or recurrence, and the sum beside them.
    numCommands: tensors.filter(({ name }) => !name.endsWith(".bias")).length + 4,
  };
  return { unit, tensors };
}
