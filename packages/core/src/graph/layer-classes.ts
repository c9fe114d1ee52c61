/**
 * A model with one layer of each kind. Layers with the same config and the same tensors, but for the number in their names, take the same
 * of every device; models of a hundred layers have two or three kinds.
 */
import type { LayerConfig, ModelConfig, ModelSource, TensorInfo } from "@thermocline/spec";
import type { StepLimits } from "./step-limits.js";

const layerTensor = /^blk\.(\d+)\./;

export interface LayerClasses {
  /** The layers that stand for all, ascending. */
  readonly representatives: readonly number[];
  /** By layer, the index in `representatives` of the one that stands for it. */
  readonly classOf: readonly number[];
}

/** The first layer stands for itself alone: what all layers read in common lies with it. */
function classifyLayers(source: ModelSource, { layers }: Pick<ModelConfig, "layers">): LayerClasses {
  const signatures = layers.map((layer) => [configSignature(layer)]);
  for (const { name, dtype, shape } of source.tensors.values()) {
    const layer = Number(layerTensor.exec(name)?.[1] ?? -1);
    signatures[layer]?.push(`${name.slice(name.indexOf(".", 4))} ${dtype} ${shape}`);
  }
  const classes = new Map<string, number>();
  const representatives: number[] = [];
  const classOf = signatures.map((signature, layer) => {
    const key = layer === 0 ? "first" : signature.sort().join("\n");
    const known = classes.get(key);
    if (known !== undefined) return known;
    classes.set(key, representatives.length);
    return representatives.push(layer) - 1;
  });
  return { representatives, classOf };
}

/** The layers of a model that stand for all of its layers, numbered anew, as a model of their own. */
export interface ReducedModel extends LayerClasses {
  readonly source: Pick<ModelSource, "tensors">;
  readonly config: ModelConfig;
  /** The unit of the reduced model that stands for one of the whole model. */
  unitOf(unit: { readonly id: string; readonly layer: number }): string;
}

export function reduceModel(source: ModelSource, config: ModelConfig): ReducedModel {
  const classes = classifyLayers(source, config);
  const { representatives, classOf } = classes;
  const numbers = new Map(representatives.map((layer, index) => [String(layer), index]));
  const renumber = (name: string, number: number) => `blk.${number}${name.slice(name.indexOf(".", 4))}`;
  const tensors = new Map<string, TensorInfo>();
  for (const info of source.tensors.values()) {
    const layer = layerTensor.exec(info.name)?.[1];
    const number = layer === undefined ? undefined : numbers.get(layer);
    if (layer === undefined) tensors.set(info.name, info);
    else if (number !== undefined) tensors.set(renumber(info.name, number), { ...info, name: renumber(info.name, number) });
  }
  return {
    ...classes,
    source: { tensors },
    config: { ...config, layers: representatives.map((layer) => config.layers[layer]!) },
    unitOf: ({ id, layer }) => (layer < 0 ? id : renumber(id, classOf[layer]!)),
  };
}

/** Limits for the reduced model: its layers share blocks as those that they stand for do. */
export function reduceLimits(limits: StepLimits, { representatives }: LayerClasses): StepLimits {
  const kvGroups = limits.kvGroups.map((group) => {
    const members = new Set(group.layers);
    return { ...group, layers: representatives.flatMap((layer, index) => (members.has(layer) ? [index] : [])) };
  });
  return { ...limits, kvGroups };
}

const signatureOf = new WeakMap<LayerConfig, string>();

function configSignature(layer: LayerConfig): string {
  const signature = signatureOf.get(layer) ?? JSON.stringify(layer);
  signatureOf.set(layer, signature);
  return signature;
}
