/** Caches in f16 or f32 and how values lie in them. */
import type { DType } from "@thermocline/spec";
import { float16Bits, roundToFloat16 } from "../float16.js";

export type KvDType = Extract<DType, "f16" | "f32">;
export const kvDTypes: readonly KvDType[] = ["f16", "f32"];

export interface CacheShape {
  readonly numBlocks: number;
  readonly numKvHeads: number;
  readonly blockSize: number;
}

/** A value as the cache holds it. */
export function cachedValue(dtype: KvDType, value: number): number {
  return dtype === "f16" ? roundToFloat16(value) : Math.fround(value);
}

/** The array of a cache with these values; NaN stays NaN. */
export function encodeCache(dtype: KvDType, values: Float64Array): Float32Array | Uint16Array {
  return dtype === "f32" ? Float32Array.from(values) : Uint16Array.from(values, (value) => float16Bits(roundToFloat16(value)));
}

/** Index of the first element of a slot's head in a cache [numBlocks, numKvHeads, blockSize, headDim]. */
export function cacheIndex({ numKvHeads, blockSize }: CacheShape, headDim: number, slot: number, head: number): number {
  const block = Math.floor(slot / blockSize);
  return ((block * numKvHeads + head) * blockSize + (slot % blockSize)) * headDim;
}
