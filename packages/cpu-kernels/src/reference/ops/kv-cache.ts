import { encodeFloat16 } from "../float16.js";
import { floatsOf, halfWordsOf, integersOf, type TensorView } from "../tensor-view.js";
import { checkIndex, type Kernel } from "./kernel.js";

/** Slot block · blockSize + offset of a cache [numBlocks, numKvHeads, blockSize, headDim]. */
function storeToken(heads: TensorView, t: number, cache: TensorView, slot: number): void {
  const [, numKvHeads, blockSize, headDim] = cache.shape as [number, number, number, number];
  const values = floatsOf(heads);
  const block = Math.floor(slot / blockSize);
  const offset = slot % blockSize;
  for (let head = 0; head < numKvHeads; head++) {
    const row = values.subarray(t * heads.rowStride + head * headDim, t * heads.rowStride + (head + 1) * headDim);
    const at = block * cache.rowStride + (head * blockSize + offset) * headDim;
    if (cache.dtype === "f32") floatsOf(cache).set(row, at);
    else {
      const words = halfWordsOf(cache);
      for (let i = 0; i < headDim; i++) words[at + i] = encodeFloat16(row[i]!);
    }
  }
}

/** f32 caches take the bits; f16 ones round to nearest even. */
export const storeKv: Kernel<"storeKv"> = ({ k, v, keyCache, valueCache, slotMapping }) => {
  const slots = integersOf(slotMapping);
  const numSlots = keyCache.shape[0]! * keyCache.shape[2]!;
  for (let t = 0; t < k.shape[0]!; t++) {
    const slot = slots[t * slotMapping.rowStride]!;
    checkIndex(`slotMapping[${t}]`, slot, numSlots);
    storeToken(k, t, keyCache, slot);
    storeToken(v, t, valueCache, slot);
  }
};
