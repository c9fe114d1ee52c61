/** KV caches [numBlocks, numKvHeads, blockSize, headDim] in f32, f16, q8_0 or q4_0: writing a token's heads and reading a head's vector. */
import { byteLengthOf, dtypes } from "@thermocline/spec";
import { dequantizeRows } from "../dequantize/index.js";
import { encodeFloat16 } from "../float16.js";
import { floatsOf, halfWordsOf, integersOf, KernelFault, type TensorView } from "../tensor-view.js";
import { checkIndex, type Kernel } from "./kernel.js";
import { type CacheBlockEncoder, encodeQ40Block, encodeQ80Block } from "./kv-cache-blocks.js";

type VectorWriter = (vector: Float32Array, at: number) => void;

/** Writes a vector from element `at` of the cache on. f32 keeps the bits, f16 rounds to nearest even. */
function vectorWriter(cache: TensorView): VectorWriter {
  switch (cache.dtype) {
    case "f32": {
      const values = floatsOf(cache);
      return (vector, at) => values.set(vector, at);
    }
    case "f16": {
      const words = halfWordsOf(cache);
      return (vector, at) => {
        for (let i = 0; i < vector.length; i++) words[at + i] = encodeFloat16(vector[i]!);
      };
    }
    case "q8_0":
      return blockWriter(cache, encodeQ80Block);
    case "q4_0":
      return blockWriter(cache, encodeQ40Block);
    default:
      throw new KernelFault(`a KV cache in ${cache.dtype} cannot be written`);
  }
}

function blockWriter(cache: TensorView, encodeBlock: CacheBlockEncoder): VectorWriter {
  const { blockSize, blockBytes } = dtypes[cache.dtype];
  checkWholeBlocks(cache);
  return (vector, at) => {
    for (let first = 0; first < vector.length; first += blockSize) {
      const offset = byteLengthOf(cache.dtype, at + first);
      encodeBlock(vector.subarray(first, first + blockSize), cache.bytes.subarray(offset, offset + blockBytes));
    }
  };
}

function checkWholeBlocks(cache: TensorView): void {
  const headDim = cache.shape[3]!;
  const { blockSize } = dtypes[cache.dtype];
  if (headDim % blockSize !== 0) throw new KernelFault(`a KV cache in ${cache.dtype} needs heads of whole blocks, not of ${headDim}`);
}

/** Slot block · blockSize + offset of a cache. */
function storeToken(heads: TensorView, t: number, cache: TensorView, slot: number, write: VectorWriter): void {
  const [, numKvHeads, blockSize, headDim] = cache.shape as [number, number, number, number];
  const values = floatsOf(heads);
  const block = Math.floor(slot / blockSize);
  const offset = slot % blockSize;
  for (let head = 0; head < numKvHeads; head++) {
    const first = t * heads.rowStride + head * headDim;
    write(values.subarray(first, first + headDim), block * cache.rowStride + (head * blockSize + offset) * headDim);
  }
}

export const storeKv: Kernel<"storeKv"> = ({ k, v, keyCache, valueCache, slotMapping }) => {
  const slots = integersOf(slotMapping);
  const numSlots = keyCache.shape[0]! * keyCache.shape[2]!;
  const writeKey = vectorWriter(keyCache);
  const writeValue = vectorWriter(valueCache);
  for (let t = 0; t < k.shape[0]!; t++) {
    const slot = slots[t * slotMapping.rowStride]!;
    checkIndex(`slotMapping[${t}]`, slot, numSlots);
    storeToken(k, t, keyCache, slot, writeKey);
    storeToken(v, t, valueCache, slot, writeValue);
  }
};

/** Reads the head's vector that starts at an element of the cache. It is valid until the next call. */
export function vectorReader(cache: TensorView): (at: number) => Float32Array {
  const headDim = cache.shape[3]!;
  if (cache.dtype === "f32") {
    const values = floatsOf(cache);
    return (at) => values.subarray(at, at + headDim);
  }
  checkWholeBlocks(cache);
  const vector = new Float32Array(headDim);
  const byteLength = byteLengthOf(cache.dtype, headDim);
  return (at) => {
    const offset = byteLengthOf(cache.dtype, at);
    dequantizeRows(cache.dtype, cache.bytes.subarray(offset, offset + byteLength), vector);
    return vector;
  };
}
