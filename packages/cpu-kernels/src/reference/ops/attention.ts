import { floatsOf, integersOf, KernelFault } from "../tensor-view.js";
import { checkIndex, checkQueryStarts, type Kernel, type Operands } from "./kernel.js";
import { vectorReader } from "./kv-cache.js";

interface SequenceRows {
  readonly sequence: number;
  readonly firstRow: number;
  readonly endRow: number;
  readonly contextLength: number;
}

function* sequencesOf({ q, keyCache, blockTables, contextLengths, queryStarts }: Operands<"attention">): Generator<SequenceRows> {
  const lengths = integersOf(contextLengths);
  const maxContextLength = blockTables.shape[1]! * keyCache.shape[2]!;
  const starts = checkQueryStarts(queryStarts, contextLengths.shape[0]!, q.shape[0]!, "q");
  for (const [sequence, [firstRow, endRow]] of starts.entries()) {
    const contextLength = lengths[sequence * contextLengths.rowStride]!;
    if (contextLength < endRow - firstRow || contextLength > maxContextLength)
      throw new KernelFault(`contextLengths[${sequence}] is ${contextLength}, outside ${endRow - firstRow} … ${maxContextLength}`);
    yield { sequence, firstRow, endRow, contextLength };
  }
}

/** Positions that a query sees: from `first` to `end` - 1. */
function positionsSeen(position: number, contextLength: number, slidingWindow: number, causal: boolean): readonly [number, number] {
  const first = slidingWindow > 0 ? Math.max(0, position - slidingWindow + 1) : 0;
  return [first, causal ? position + 1 : contextLength];
}

/**
 * out = softmax(scores) · values for each query token over the positions that it sees, in double precision; scores are scale · q · keysᵀ,
 * capped by softcap · tanh(score / softcap) where softcap > 0. Query head h reads KV head floor(h · numKvHeads / numHeads). Blocks and slots
 * that no query sees are not looked at; rows of q that belong to no sequence leave out as it is.
 */
export const attention: Kernel<"attention"> = function* (operands) {
  const { out, q, keyCache, valueCache, blockTables, scale, softcap, slidingWindow, causal } = operands;
  const [, numHeads, headDimK] = q.shape as [number, number, number];
  const [numBlocks, numKvHeads, blockSize] = keyCache.shape as [number, number, number];
  const headDimV = out.shape[2]!;
  const headsPerKvHead = numHeads / numKvHeads;
  const queries = floatsOf(q);
  const target = floatsOf(out);
  const tables = integersOf(blockTables);
  const keyAt = vectorReader(keyCache);
  const valueAt = vectorReader(valueCache);
  const sum = new Float64Array(headDimV);

  for (const { sequence, firstRow, endRow, contextLength } of sequencesOf(operands)) {
    for (let row = firstRow; row < endRow; row++) {
      const position = contextLength - (endRow - row);
      const [first, end] = positionsSeen(position, contextLength, slidingWindow, causal !== 0);
      const blocks = new Int32Array(Math.ceil(end / blockSize));
      for (let index = Math.floor(first / blockSize); index < blocks.length; index++) {
        blocks[index] = tables[sequence * blockTables.rowStride + index]!;
        checkIndex(`blockTables[${sequence}, ${index}]`, blocks[index]!, numBlocks);
      }
      const scores = new Float64Array(end - first);
      for (let head = 0; head < numHeads; head++) {
        const kvHead = Math.floor(head / headsPerKvHead);
        const queryAt = row * q.rowStride + head * headDimK;
        let largest = Number.NEGATIVE_INFINITY;
        for (let seen = first; seen < end; seen++) {
          const slot = kvHead * blockSize + (seen % blockSize);
          const key = keyAt(blocks[Math.floor(seen / blockSize)]! * keyCache.rowStride + slot * headDimK);
          let dot = 0;
          for (let i = 0; i < headDimK; i++) dot += queries[queryAt + i]! * key[i]!;
          const scaled = dot * scale;
          const score = softcap > 0 ? softcap * Math.tanh(scaled / softcap) : scaled;
          scores[seen - first] = score;
          largest = Math.max(largest, score);
        }
        sum.fill(0);
        let total = 0;
        for (let seen = first; seen < end; seen++) {
          const weight = Math.exp(scores[seen - first]! - largest);
          const slot = kvHead * blockSize + (seen % blockSize);
          const value = valueAt(blocks[Math.floor(seen / blockSize)]! * valueCache.rowStride + slot * headDimV);
          total += weight;
          for (let i = 0; i < headDimV; i++) sum[i]! += weight * value[i]!;
        }
        const outAt = row * out.rowStride + head * headDimV;
        for (let i = 0; i < headDimV; i++) target[outAt + i] = sum[i]! / total;
        yield;
      }
    }
  }
};
