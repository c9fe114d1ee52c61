import { KernelFault } from "../../tensor-view.js";

/**
 * Changes the logits of the ids that a row lists, in place: l becomes f32(f32(l > 0 ? l / p : l · p) + b). The first -1 ends the list.
 * @param ids [E] each at most once. @param values [2 · E] for each id the penalty p > 0 and the bias b < Infinity, which bans at -Infinity.
 * @throws KernelFault for an id outside the vocabulary.
 */
export function applyEdits(logits: Float32Array, ids: Int32Array, values: Float32Array): void {
  for (const [index, id] of ids.entries()) {
    if (id === -1) return;
    if (id < 0 || id >= logits.length) throw new KernelFault(`editIds[${index}] is ${id}, outside 0 … ${logits.length - 1}`);
    const logit = logits[id]!;
    const penalty = values[2 * index]!;
    const bias = values[2 * index + 1]!;
    logits[id] = Math.fround(logit > 0 ? logit / penalty : logit * penalty) + bias;
  }
}
