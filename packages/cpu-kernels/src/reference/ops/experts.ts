/** Mixtures of experts: routing, the products of the experts that a device holds, and their sum. */
import { floatsOf, integersOf, KernelFault, valuesOf } from "../tensor-view.js";
import { checkIndex, type Kernel } from "./kernel.js";
import { multiplyRow } from "./multiply-row.js";

/**
 * The U experts of each token by logit descending, lowest id first on ties, with softmax probabilities over all experts in double precision;
 * `normalize`: divided by the sum of the chosen ones.
 */
export const routeExperts: Kernel<"routeExperts"> = ({ expertIds, expertWeights, logits, normalize }) => {
  const [numTokens, numExperts] = logits.shape as [number, number];
  const numUsed = expertIds.shape[1]!;
  const scores = floatsOf(logits);
  const ids = integersOf(expertIds);
  const weights = floatsOf(expertWeights);
  for (let t = 0; t < numTokens; t++) {
    const row = scores.subarray(t * logits.rowStride, t * logits.rowStride + numExperts);
    const notANumber = row.findIndex(Number.isNaN);
    if (notANumber >= 0) throw new KernelFault(`logits[${t}, ${notANumber}] is NaN`);
    const order = Int32Array.from(row.keys()).sort((a, b) => row[b]! - row[a]! || a - b);
    const best = row[order[0]!]!;
    // Equal logits differ by 0, infinite ones too.
    const exponentials = Float64Array.from(order, (id) => (row[id] === best ? 1 : Math.exp(row[id]! - best)));
    const used = normalize ? exponentials.subarray(0, numUsed) : exponentials;
    const total = used.reduce((sum, value) => sum + value, 0);
    for (let u = 0; u < numUsed; u++) {
      ids[t * expertIds.rowStride + u] = order[u]!;
      weights[t * expertWeights.rowStride + u] = exponentials[u]! / total;
    }
  }
};

/** out[t, u] = x[t, u] · weight[expertSlots[expertIds[t, u]]]ᵀ; zeros where the slot is -1. x is [T, U, K], or [T, K] for all u. */
export const expertMatmul: Kernel<"expertMatmul"> = function* ({ out, x, weight, expertIds, expertSlots }) {
  const [numTokens, numUsed, numColumns] = out.shape as [number, number, number];
  const [numSlots, , innerSize] = weight.shape as [number, number, number];
  const from = floatsOf(x);
  const ids = integersOf(expertIds);
  const slots = integersOf(expertSlots);
  const target = floatsOf(out);
  const values = valuesOf(weight);
  const inputStride = x.shape.length === 2 ? 0 : innerSize;
  for (let t = 0; t < numTokens; t++)
    for (let u = 0; u < numUsed; u++) {
      const id = ids[t * expertIds.rowStride + u]!;
      checkIndex(`expertIds[${t}, ${u}]`, id, expertSlots.shape[0]!);
      const slot = slots[id * expertSlots.rowStride]!;
      const at = t * out.rowStride + u * numColumns;
      const outRow = target.subarray(at, at + numColumns);
      if (slot === -1) {
        outRow.fill(0);
        continue;
      }
      checkIndex(`expertSlots[${id}]`, slot, numSlots);
      const first = t * x.rowStride + u * inputStride;
      yield* multiplyRow(outRow, from.subarray(first, first + innerSize), {
        values,
        first: slot * weight.rowStride,
        rowStride: innerSize,
      });
    }
};

/** out[t] = Σu expertWeights[t, u] · x[t, u], u ascending in double precision. */
export const combineExperts: Kernel<"combineExperts"> = ({ out, x, expertWeights }) => {
  const [numTokens, numColumns] = out.shape as [number, number];
  const numUsed = expertWeights.shape[1]!;
  const from = floatsOf(x);
  const weights = floatsOf(expertWeights);
  const target = floatsOf(out);
  for (let t = 0; t < numTokens; t++)
    for (let column = 0; column < numColumns; column++) {
      let sum = 0;
      for (let u = 0; u < numUsed; u++) sum += weights[t * expertWeights.rowStride + u]! * from[t * x.rowStride + u * numColumns + column]!;
      target[t * out.rowStride + column] = sum;
    }
};
