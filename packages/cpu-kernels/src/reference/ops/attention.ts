import { float16Values } from "../float16.js";
import { floatsOf, halfWordsOf, integersOf, KernelFault, type TensorView } from "../tensor-view.js";
import { checkIndex, type Kernel, type Operands } from "./kernel.js";

/** Element `index` of an f16 or f32 cache. */
function cacheReader(cache: TensorView): (index: number) => number {
  if (cache.dtype === "f32") {
    const values = floatsOf(cache);
    return (index) => values[index]!;
  }
  const words = halfWordsOf(cache);
  return (index) => float16Values[words[index]!]!;
}

interface SequenceRows {
  readonly sequence: number;
  readonly firstRow: number;
  readonly endRow: number;
  readonly contextLength: number;
}

function* sequencesOf({ q, keyCache, blockTables, contextLengths, queryStarts }: Operands<"attention">): Generator<SequenceRows> {
  const numSequences = contextLengths.shape[0]!;
  const starts = integersOf(queryStarts);
  const lengths = integersOf(contextLengths);
  const maxContextLength = blockTables.shape[1]! * keyCache.shape[2]!;
  if (queryStarts.shape[0]! < numSequences + 1)
    throw new KernelFault(`queryStarts has ${queryStarts.shape[0]} entries for ${numSequences} sequences`);
  for (let sequence = 0; sequence < numSequences; sequence++) {
    const firstRow = starts[sequence * queryStarts.rowStride]!;
    const endRow = starts[(sequence + 1) * queryStarts.rowStride]!;
    const contextLength = lengths[sequence * contextLengths.rowStride]!;
    if (firstRow < 0 || endRow < firstRow || endRow > q.shape[0]!)
      throw new KernelFault(`queryStarts[${sequence}] and the next are ${firstRow} and ${endRow}; q has ${q.shape[0]} rows`);
    if (contextLength < endRow - firstRow || contextLength > maxContextLength)
      throw new KernelFault(`contextLengths[${sequence}] is ${contextLength}, outside ${endRow - firstRow} … ${maxContextLength}`);
    yield { sequence, firstRow, endRow, contextLength };
  }
}

/**
 * out = softmax(scale · q · keysᵀ) · values for each query token over the positions that it sees, in double precision: at position p
 * those at most p and, with a sliding window, greater than p - slidingWindow. Query head h reads KV head floor(h · numKvHeads / numHeads).
 * Blocks and slots that no query sees are not looked at; rows of q that belong to no sequence leave out as it is.
 */
export const attention: Kernel<"attention"> = function* (operands) {
  const { out, q, keyCache, valueCache, blockTables, scale, slidingWindow } = operands;
  const [, numHeads, headDimK] = q.shape as [number, number, number];
  const [numBlocks, numKvHeads, blockSize] = keyCache.shape as [number, number, number];
  const headDimV = out.shape[2]!;
  const headsPerKvHead = numHeads / numKvHeads;
  const queries = floatsOf(q);
  const target = floatsOf(out);
  const tables = integersOf(blockTables);
  const keyAt = cacheReader(keyCache);
  const valueAt = cacheReader(valueCache);
  const sum = new Float64Array(headDimV);

  for (const { sequence, firstRow, endRow, contextLength } of sequencesOf(operands)) {
    for (let row = firstRow; row < endRow; row++) {
      const position = contextLength - (endRow - row);
      const firstSeen = slidingWindow > 0 ? Math.max(0, position - slidingWindow + 1) : 0;
      const blocks = new Int32Array(Math.floor(position / blockSize) + 1);
      for (let index = Math.floor(firstSeen / blockSize); index < blocks.length; index++) {
        blocks[index] = tables[sequence * blockTables.rowStride + index]!;
        checkIndex(`blockTables[${sequence}, ${index}]`, blocks[index]!, numBlocks);
      }
      const scores = new Float64Array(position - firstSeen + 1);
      for (let head = 0; head < numHeads; head++) {
        const kvHead = Math.floor(head / headsPerKvHead);
        const queryAt = row * q.rowStride + head * headDimK;
        let largest = Number.NEGATIVE_INFINITY;
        for (let seen = firstSeen; seen <= position; seen++) {
          const slot = kvHead * blockSize + (seen % blockSize);
          const at = blocks[Math.floor(seen / blockSize)]! * keyCache.rowStride + slot * headDimK;
          let dot = 0;
          for (let i = 0; i < headDimK; i++) dot += queries[queryAt + i]! * keyAt(at + i);
          scores[seen - firstSeen] = dot * scale;
          largest = Math.max(largest, dot * scale);
        }
        sum.fill(0);
        let total = 0;
        for (let seen = firstSeen; seen <= position; seen++) {
          const weight = Math.exp(scores[seen - firstSeen]! - largest);
          const slot = kvHead * blockSize + (seen % blockSize);
          const at = blocks[Math.floor(seen / blockSize)]! * valueCache.rowStride + slot * headDimV;
          total += weight;
          for (let i = 0; i < headDimV; i++) sum[i]! += weight * valueAt(at + i);
        }
        const outAt = row * out.rowStride + head * headDimV;
        for (let i = 0; i < headDimV; i++) target[outAt + i] = sum[i]! / total;
        yield;
      }
    }
  }
};
