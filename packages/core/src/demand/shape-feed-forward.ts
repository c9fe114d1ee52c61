/** What follows attention in a layer: neurons, or experts. */
import { dtypes, InvalidTensorError } from "@thermocline/spec";
import type { ArchitectureMetadata } from "../config/architecture-metadata.js";
import type { FeedForwardShape } from "./shape.js";
import type { LayerTensors } from "./shape-tensors.js";

export const expertTensor = /^ffn_.+_exps\./;
/** Files of the first mixtures have a tensor for each expert. */
export const singleExpertTensor = /^ffn_(?:gate|up|down)\.(\d+)\./;

/** @throws InvalidTensorError where keys are missing, malformed, or contradict the tensors. */
export function readFeedForward(metadata: ArchitectureMetadata, layer: number, tensors: LayerTensors, numLayers: number): FeedForwardShape {
  const numExperts = countExperts(tensors);
  if (numExperts > 0) {
    const named = metadata.number("expert_count", numExperts);
    if (named !== numExperts)
      throw new InvalidTensorError(
        `metadata ${metadata.architecture}.expert_count`,
        `${numExperts}, as layer ${layer} has them`,
        `${named}`,
      );
    const used = metadata.checkPositive("expert_used_count", metadata.perLayer("expert_used_count", numLayers)[layer]!);
    if (used <= numExperts) return { kind: "experts", count: numExperts, used };
    throw metadata.unsupported("expert_used_count", `${used} of ${numExperts} experts cannot be used`);
  }
  const down = tensors.get("ffn_down.weight");
  const transposed = tensors.get("ffn_down_t.weight");
  const neurons = down?.shape.at(-1) ?? transposed?.shape[0];
  if (neurons === undefined) return { kind: "none" };
  if (neurons === 0) throw new InvalidTensorError((down ?? transposed)!.name, "neurons", "none");
  const up = tensors.get("ffn_up.weight");
  const upRows = up?.shape[0] ?? neurons;
  if (upRows !== neurons && upRows !== 2 * neurons)
    throw new InvalidTensorError(up!.name, `a row for each of ${neurons} neurons, or two`, `shape [${up!.shape}]`);
  return { kind: "dense", neurons, blockSize: down === undefined ? 1 : dtypes[down.dtype].blockSize };
}

/** 0 for a dense layer. */
function countExperts(tensors: LayerTensors): number {
  const singles = new Set<string>();
  let count = 0;
  for (const [name, info] of tensors) {
    const single = singleExpertTensor.exec(name)?.[1];
    if (single !== undefined) singles.add(single);
    if (!expertTensor.test(name) || info.shape.length < 2) continue;
    const here = info.shape[0]!;
    if (count !== 0 && here !== count)
      throw new InvalidTensorError(info.name, `${count} experts, as the layer's other tensors have`, `shape [${info.shape}]`);
    count = here;
  }
  return Math.max(count, singles.size);
}
