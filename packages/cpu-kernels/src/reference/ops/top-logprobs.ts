import { floatsOf, integersOf } from "../tensor-view.js";
import { checkIndex, type Kernel } from "./kernel.js";

/**
 * Column 0: the sampled token; columns 1 …: the most likely tokens of all, the sampled one among them where it is, largest logit first,
 * lowest id on ties. logprob = l - best - ln Σ exp(l - best), in double precision. Columns beyond the vocabulary hold id -1 and -∞.
 */
export const topLogprobs: Kernel<"topLogprobs"> = ({ ids, logprobs, logits, sampledTokenIds }) => {
  const [numRows, numColumns] = ids.shape as [number, number];
  const vocabSize = logits.shape[1]!;
  const allLogits = floatsOf(logits);
  const sampled = integersOf(sampledTokenIds);
  const idTarget = integersOf(ids);
  const logprobTarget = floatsOf(logprobs);
  for (let row = 0; row < numRows; row++) {
    const rowLogits = allLogits.subarray(row * logits.rowStride, row * logits.rowStride + vocabSize);
    const sampledId = sampled[row * sampledTokenIds.rowStride]!;
    checkIndex(`sampledTokenIds[${row}]`, sampledId, vocabSize);
    const best = rowLogits.reduce((largest, value) => Math.max(largest, value), Number.NEGATIVE_INFINITY);
    let total = 0;
    for (const logit of rowLogits) total += Math.exp(logit - best);
    const logOfSum = best + Math.log(total);
    const mostLikely = largestFirst(rowLogits, numColumns - 1);
    for (let column = 0; column < numColumns; column++) {
      const id = column === 0 ? sampledId : (mostLikely[column - 1] ?? -1);
      idTarget[row * ids.rowStride + column] = id;
      logprobTarget[row * logprobs.rowStride + column] = id < 0 ? Number.NEGATIVE_INFINITY : rowLogits[id]! - logOfSum;
    }
  }
};

/** Indices of the `count` largest, kept sorted while scanning: `count` is small. */
function largestFirst(values: Float32Array, count: number): number[] {
  const largest: number[] = [];
  for (let index = 0; index < values.length; index++) {
    if (largest.length === count && (count === 0 || values[largest[count - 1]!]! >= values[index]!)) continue;
    let at = largest.length;
    while (at > 0 && values[largest[at - 1]!]! < values[index]!) at--;
    largest.splice(at, 0, index);
    if (largest.length > count) largest.pop();
  }
  return largest;
}
