/** KV cache and state of one layer on a device, in the engine's blocks. */
import { type BackendTraits, byteLengthOf, type DeviceId, type DType, dtypes } from "@thermocline/spec";
import { alignUp } from "../graph/arena-plan.js";
import type { StepLimits } from "../graph/step-limits.js";
import { kvDTypeOf } from "../kv-cache/kv-dtype.js";
import type { AttentionShape, LayerShape } from "./shape.js";

export interface LayerKvBytes {
  /** Of the layer's allocation. */
  readonly kvCacheBytes: number;
  /** That attention reads for each token that it sees. */
  readonly kvBytesPerToken: number;
}

type CachedAttention = Extract<AttentionShape, { readonly kind: "grouped-query" | "latent" }>;

/** Whose keys a layer reads: its own, or an earlier layer's. */
export function cacheReadBy(attention: AttentionShape, layers: readonly LayerShape[]): CachedAttention | undefined {
  if (attention.kind === "none") return undefined;
  if (attention.kind !== "shared") return attention;
  return cacheReadBy(layers[attention.sourceLayer]!.attention, layers);
}

/** How far a layer with such a cache sees. */
export function slidingWindowOf(cache: CachedAttention | undefined): number | undefined {
  return cache?.kind === "grouped-query" ? cache.slidingWindow : undefined;
}

/** Products of one query with one cached token: heads times the elements of a key and of a value. */
export function multiplyAddsPerCachedToken(attention: AttentionShape, layers: readonly LayerShape[]): number {
  const cache = cacheReadBy(attention, layers);
  if (attention.kind === "none" || cache === undefined) return 0;
  const { numHeads } = attention;
  if (cache.kind === "grouped-query") return numHeads * (cache.keyLength + cache.valueLength);
  return numHeads * (2 * cache.latentLength + cache.ropeLength) + cache.indexLength;
}

/** f32 bytes that a sequence carries in the layer. */
export function stateBytesPerSequence({ recurrentState }: LayerShape): number {
  if (recurrentState === undefined) return 0;
  return 4 * (recurrentState.convolutionElements + recurrentState.stateElements);
}

/**
 * Keys of `numBlocks` blocks, then, aligned, the values; then, aligned, the states of all sequences. Latent layers keep keys alone.
 * @throws InvalidRequestError where the device has no caches of the dtype that was asked for, or heads are no whole number of its blocks.
 */
export function layerKvBytes(
  device: { readonly id: DeviceId; readonly traits: BackendTraits },
  layers: readonly LayerShape[],
  layer: number,
  limits: StepLimits,
): LayerKvBytes {
  const shape = layers[layer]!;
  const { attention } = shape;
  const stateBytes = limits.maxSequences * stateBytesPerSequence(shape);
  if (attention.kind === "none") return { kvCacheBytes: stateBytes, kvBytesPerToken: 0 };
  if (attention.kind === "shared")
    return { kvCacheBytes: stateBytes, kvBytesPerToken: layerKvBytes(device, layers, attention.sourceLayer, limits).kvBytesPerToken };

  const slidingWindow = slidingWindowOf(attention);
  const group = limits.kvGroups.find((candidate) => candidate.slidingWindow === slidingWindow)!;
  const numTokens = group.numBlocks * limits.blockSize;
  const keyHead =
    attention.kind === "latent" ? [attention.latentLength + attention.ropeLength, attention.indexLength] : [attention.keyLength];
  const numKvHeads = attention.kind === "latent" ? 1 : attention.numKvHeads;
  const keyDType = kvDTypeOf(device.id, device.traits, limits, "key", keyHead[0]!);
  const keyBytesPerToken = keyHead.reduce((sum, length) => sum + cacheBytes(keyDType, numKvHeads * length), 0);
  const valueBytesPerToken =
    attention.kind === "latent"
      ? 0
      : cacheBytes(kvDTypeOf(device.id, device.traits, limits, "value", attention.valueLength), numKvHeads * attention.valueLength);
  const align = (bytes: number) => alignUp(bytes, device.traits.alignment);
  const keyValueBytes = align(numTokens * keyBytesPerToken) + numTokens * valueBytesPerToken;
  return {
    kvCacheBytes: stateBytes === 0 ? keyValueBytes : align(keyValueBytes) + stateBytes,
    kvBytesPerToken: keyBytesPerToken + valueBytesPerToken,
  };
}

function cacheBytes(dtype: DType, numElements: number): number {
  return byteLengthOf(dtype, alignUp(numElements, dtypes[dtype].blockSize));
}
