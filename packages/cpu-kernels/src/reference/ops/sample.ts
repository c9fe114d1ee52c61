/**
 * The choice of a token, in rules that fix it on every backend. For each row, with f32 logits l and parameters t = temperature, k, p, m,
 * r (all f32, computed in double precision except where f32 is named):
 *
 * 1. Penalty. Each distinct id of `history` in 0 … V - 1 once: l = f32(l / r) where l > 0, else f32(l · r). Other ids are padding.
 * 2. t = 0: the largest l, the lowest id on ties. Done.
 * 3. Candidates in the order of l descending, id ascending on ties.
 * 4. k > 0: the first k stay.
 * 5. best = l of the first; e_i = exp(l_i - best); P_i = e_i / Σe, the sum taken in order.
 * 6. p < 1: the shortest prefix whose running sum of P reaches p (>=) stays, at least one.
 * 7. m > 0: those with P_i < m · P_0 are dropped.
 * 8. w_i = exp((l_i - best) / t) over those left; W = Σw in order; u = uniformOf(seed, draw).
 *    The first whose running sum of w exceeds u · W (>) is the token; the last one left where none does.
 *
 * Where `best` is infinite no probabilities exist, and the first candidate is the token. A NaN logit is a fault.
 */
import { uniformOf } from "@thermocline/spec";
import { floatsOf, integersOf, KernelFault } from "../tensor-view.js";
import type { Kernel } from "./kernel.js";

/** `parameters`: temperature, topK, topP, minP, repetitionPenalty. `logits` are changed. */
function chooseToken(logits: Float32Array, parameters: Float32Array, history: Int32Array, uniform: number): number {
  const [temperature, topK, topP, minP, repetitionPenalty] = parameters as unknown as [number, number, number, number, number];
  for (const id of new Set(history)) {
    if (id < 0 || id >= logits.length) continue;
    const logit = logits[id]!;
    logits[id] = logit > 0 ? logit / repetitionPenalty : logit * repetitionPenalty;
  }
  if (temperature === 0) return indexOfLargest(logits);

  let candidates = Uint32Array.from(logits.keys()).sort((a, b) => logits[b]! - logits[a]! || a - b);
  if (topK > 0) candidates = candidates.subarray(0, topK);
  const best = logits[candidates[0]!]!;
  if (!Number.isFinite(best)) return candidates[0]!;
  const exponentials = Float64Array.from(candidates, (id) => Math.exp(logits[id]! - best));
  const total = exponentials.reduce((sum, value) => sum + value, 0);
  const probabilities = exponentials.map((value) => value / total);

  let kept = candidates.length;
  if (topP < 1) {
    let running = 0;
    kept = 0;
    do running += probabilities[kept++]!;
    while (running < topP && kept < candidates.length);
  }
  if (minP > 0) while (kept > 1 && probabilities[kept - 1]! < minP * probabilities[0]!) kept--;

  const weights = Float64Array.from(candidates.subarray(0, kept), (id) => Math.exp((logits[id]! - best) / temperature));
  const threshold = uniform * weights.reduce((sum, value) => sum + value, 0);
  let running = 0;
  for (let index = 0; index < kept; index++) {
    running += weights[index]!;
    if (running > threshold) return candidates[index]!;
  }
  return candidates[kept - 1]!;
}

function indexOfLargest(values: Float32Array): number {
  let best = 0;
  for (let index = 1; index < values.length; index++) if (values[index]! > values[best]!) best = index;
  return best;
}

export const sample: Kernel<"sample"> = function* ({ tokenIds, logits, params, randomState, history }) {
  const [numRows, vocabSize] = logits.shape as [number, number];
  const allLogits = floatsOf(logits);
  const allParams = floatsOf(params);
  const states = integersOf(randomState);
  const histories = integersOf(history);
  const target = integersOf(tokenIds);
  for (let row = 0; row < numRows; row++) {
    const rowLogits = allLogits.slice(row * logits.rowStride, row * logits.rowStride + vocabSize);
    const notANumber = rowLogits.findIndex(Number.isNaN);
    if (notANumber >= 0) throw new KernelFault(`logits[${row}, ${notANumber}] is NaN`);
    if (vocabSize === 0) throw new KernelFault("logits has no columns to choose from");
    target[row * tokenIds.rowStride] = chooseToken(
      rowLogits,
      allParams.subarray(row * params.rowStride, row * params.rowStride + 5),
      histories.subarray(row * history.rowStride, row * history.rowStride + history.shape[1]!),
      uniformOf(states[row * randomState.rowStride]!, states[row * randomState.rowStride + 1]!),
    );
    yield;
  }
};
