/** Caches of every KV type: how values lie in them, worked out apart from every backend. */
import { byteLengthOf, type DType, dtypes } from "@thermocline/spec";
import { bytesOf } from "../comparison.js";
import { float16Bits, roundToFloat16 } from "../float16.js";
import type { PlainArray, ViewPlan } from "../op-case.js";

export type KvDType = Extract<DType, "f32" | "f16" | "q8_0" | "q4_0">;
export const kvDTypes: readonly KvDType[] = ["f32", "f16", "q8_0", "q4_0"];

export interface CacheShape {
  readonly numBlocks: number;
  readonly numKvHeads: number;
  readonly blockSize: number;
}

export interface KvCache {
  readonly dtype: KvDType;
  readonly shape: CacheShape;
  readonly headDim: number;
  readonly array: PlainArray;
  /** What the array's elements stand for. */
  readonly values: Float64Array;
}

/** A cache whose every element is NaN. */
export function emptyCache(dtype: KvDType, shape: CacheShape, headDim: number): KvCache {
  const numElements = shape.numBlocks * shape.numKvHeads * shape.blockSize * headDim;
  const values = new Float64Array(numElements).fill(Number.NaN);
  return { dtype, shape, headDim, array: emptyArray(dtype, numElements), values };
}

function emptyArray(dtype: KvDType, numElements: number): PlainArray {
  if (dtype === "f32") return new Float32Array(numElements).fill(Number.NaN);
  if (dtype === "f16") return new Uint16Array(numElements).fill(float16Bits(Number.NaN));
  const bytes = new Uint8Array(byteLengthOf(dtype, numElements)).fill(0x11);
  for (let at = 0; at < bytes.length; at += dtypes[dtype].blockBytes) bytes.set([0x00, 0x7e], at);
  return bytes;
}

/** Index of the first element of a slot's head in a cache [numBlocks, numKvHeads, blockSize, headDim]. */
export function cacheIndex({ numKvHeads, blockSize }: CacheShape, headDim: number, slot: number, head: number): number {
  const block = Math.floor(slot / blockSize);
  return ((block * numKvHeads + head) * blockSize + (slot % blockSize)) * headDim;
}

/** Writes a head's vector of f32 values as `storeKv` says. */
export function storeVector(cache: KvCache, slot: number, head: number, vector: Float32Array): void {
  const at = cacheIndex(cache.shape, cache.headDim, slot, head);
  const stored = encoders[cache.dtype](vector);
  bytesOf(cache.array).set(stored.bytes, byteLengthOf(cache.dtype, at));
  cache.values.set(stored.values, at);
}

interface StoredVector {
  readonly bytes: Uint8Array;
  readonly values: ArrayLike<number>;
}

const encoders: Readonly<Record<KvDType, (vector: Float32Array) => StoredVector>> = {
  f32: (vector) => ({ bytes: bytesOf(vector), values: vector }),
  f16(vector) {
    const values = Float64Array.from(vector, roundToFloat16);
    return { bytes: bytesOf(Uint16Array.from(values, float16Bits)), values };
  },
  q8_0: (vector) => quantise(vector, 34, quantise8),
  q4_0: (vector) => quantise(vector, 18, quantise4),
};

interface QuantisedBlock {
  /** f32, before it is rounded to f16. */
  readonly scale: number;
  /** What times the scale is the value. */
  readonly quants: readonly number[];
  readonly quantBytes: ArrayLike<number>;
}

function quantise(vector: Float32Array, blockBytes: number, quantiseBlock: (values: Float32Array) => QuantisedBlock): StoredVector {
  const bytes = new Uint8Array((vector.length / 32) * blockBytes);
  const values = new Float64Array(vector.length);
  for (let block = 0; block * 32 < vector.length; block++) {
    const { scale, quants, quantBytes } = quantiseBlock(vector.subarray(block * 32, (block + 1) * 32));
    const half = Number.isFinite(scale) ? roundToFloat16(scale) : Number.NaN;
    new DataView(bytes.buffer).setUint16(block * blockBytes, float16Bits(half), true);
    bytes.set(quantBytes, block * blockBytes + 2);
    values.set(
      quants.map((quant) => half * quant),
      block * 32,
    );
  }
  return { bytes, values };
}

/** x · (1 / d) in f32, to the nearest whole number, ties to even: 1.5 · 2^23 leaves no room for a fraction. 0 where there is no scale. */
function nearest(value: number, scale: number): number {
  const inverse = Math.fround(1 / scale);
  // The inverse of an infinite scale is 0, by which an infinite value must not be multiplied.
  if (!Number.isFinite(inverse) || inverse === 0) return 0;
  return Math.fround(Math.fround(value * inverse) + 12582912) - 12582912;
}

function quantise8(values: Float32Array): QuantisedBlock {
  const scale = Math.fround(Math.max(...values.map(Math.abs)) / 127);
  const quants = Array.from(values, (value) => nearest(value, scale));
  return { scale, quants, quantBytes: Int8Array.from(quants) };
}

function quantise4(values: Float32Array): QuantisedBlock {
  const largest = Math.max(...values.map(Math.abs));
  const scale = Math.fround((values.find((value) => Math.abs(value) === largest) ?? Number.NaN) / -8);
  const codes = Array.from(values, (value) => Math.min(15, nearest(value, scale) + 8));
  const quantBytes = Uint8Array.from({ length: 16 }, (_, i) => codes[i]! + 16 * codes[i + 16]!);
  return { scale, quants: codes.map((code) => code - 8), quantBytes };
}

export function cacheView(array: string, { dtype, shape, headDim }: KvCache): ViewPlan {
  const { numBlocks, numKvHeads, blockSize } = shape;
  return { array, dtype, shape: [numBlocks, numKvHeads, blockSize, headDim] };
}
