/** The units of a model that a plan places, with their tensors and bytes as the file holds them. */
import {
  type DeviceId,
  dtypes,
  type LayerConfig,
  type ModelConfig,
  type ModelSource,
  type OffloadUnit,
  type Placement,
  type TensorInfo,
  type UnitKind,
} from "@thermocline/spec";
import { type ReducedModel, reduceModel } from "./graph/layer-classes.js";
import { ModelDrafter } from "./graph/model-graph.js";
import { nullTraits } from "./graph/null-traits.js";
import type { StepLimits } from "./graph/step-limits.js";
import { weightsByDType } from "./unit-weights.js";

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

/**
 * In the order in which a token passes them. A head tied to the embedding names the embedding's tensor too.
 * @throws InvalidTensorError where a tensor that the graph reads is missing or misshapen.
 */
export function listOffloadUnits(
  source: ModelSource,
  config: ModelConfig,
  reduced: ReducedModel = reduceModel(source, config),
): readonly OffloadUnit[] {
  const units = new Map<string, UnitName & { tensors: TensorInfo[] }>();
  const unit = (name: UnitName) => units.set(name.id, { ...name, tensors: [] });
  unit(embeddingUnit);
  config.layers.forEach(({ experts }, layer) => {
    unit(layerUnit("attention", layer));
    for (const kind of experts === undefined ? (["feed-forward"] as const) : (["router", "experts"] as const)) unit(layerUnit(kind, layer));
  });
  unit(headUnit);
  for (const info of source.tensors.values()) units.get(unitOf(info.name, config).id)?.tensors.push(info);
  const embedding = source.tensors.get("token_embd.weight");
  const isTied = config.pooling === undefined && !source.tensors.has("output.weight");
  if (isTied && embedding !== undefined) units.get("head")!.tensors.push(embedding);

  const numCommands = countCommands(reduced, [...units.values()]);
  return [...units.values()].map(({ tensors, ...known }): OffloadUnit => {
    const { experts, feedForwardLength, ...layer } = config.layers[known.layer] ?? {};
    const isConditional = known.kind === "experts" || known.kind === "embedding";
    const common = {
      ...known,
      tensors: tensors.map(({ name }) => name),
      weights: weightsByDType(tensors, isConditional),
      activationFrequency: 1,
      numCommands: numCommands.get(known.id)!,
    };
    switch (known.kind) {
      case "embedding":
        return { ...common, activationFrequency: 1 / config.vocabSize };
      case "experts": {
        const { count, used } = experts!;
        return { ...common, rows: { count, blockSize: 1 }, activationFrequency: used / count };
      }
      case "attention": {
        const { numHeads, headDimK, headDimV, slidingWindow } = layer as LayerConfig;
        const multiplyAddsPerCachedToken = numHeads * (headDimK + headDimV);
        const window = slidingWindow === undefined ? {} : { slidingWindow };
        return { ...common, kvCache: { ...window, multiplyAddsPerCachedToken, stateBytesPerSequence: 0 } };
      }
      case "feed-forward": {
        // Down is quantised along the neurons, so they are cut only at its whole blocks.
        const down = source.tensors.get(`blk.${known.layer}.ffn_down.weight`);
        const blockSize = down === undefined ? 1 : dtypes[down.dtype].blockSize;
        return { ...common, rows: { count: feedForwardLength!, blockSize } };
      }
      default:
        return common;
    }
  });
}

const nullDevice = "null:0";

/** Commands of a step by unit, each unit whole on one device. */
function countCommands(reduced: ReducedModel, units: readonly UnitName[]): ReadonlyMap<string, number> {
  const limits: StepLimits = {
    maxBatchTokens: 1,
    maxSequences: 1,
    maxOutputRows: 1,
    maxScoredTokens: 0,
    contextLength: 1,
    blockSize: 1,
    kvGroups: [{ layers: reduced.config.layers.map((_, layer) => layer), numBlocks: 1 }],
    maxBlocksPerSequence: 1,
    maxLogitEdits: 1,
    logprobColumns: 1,
  };
  const placement: Placement = new Map(units.map((unit) => [reduced.unitOf(unit), [{ device: nullDevice }]]));
  const drafter = new ModelDrafter(reduced.source, reduced.config, new Map([[nullDevice, nullTraits]]), limits);
  const draft = drafter.draft(["plain"], placement).get("plain")!;
  const counts = new Map<string, number>();
  for (const unit of draft.encoders.get(nullDevice)!.units) counts.set(unit, (counts.get(unit) ?? 0) + 1);
  return new Map(units.map((unit) => [unit.id, counts.get(reduced.unitOf(unit)) ?? 0]));
}

/** Everything on one device. */
export function placeOnOneDevice(units: readonly OffloadUnit[], device: DeviceId): Placement {
  return new Map(units.map(({ id }) => [id, [{ device }]]));
}
