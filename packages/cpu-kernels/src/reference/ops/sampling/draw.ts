import { type Candidates, weightsOf } from "./candidates.js";

/**
 * The place of the first candidate whose running sum of weights at `temperature` exceeds `uniform` of the whole, and its share of the whole.
 * @param uniform in [0, 1).
 */
export function draw(candidates: Candidates, temperature: number, uniform: number): { readonly place: number; readonly share: number } {
  const weights = weightsOf(candidates, temperature);
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  let running = 0;
  const found = weights.findIndex((weight) => {
    running += weight;
    return running > uniform * total;
  });
  const place = found < 0 ? weights.length - 1 : found;
  return { place, share: weights[place]! / total };
}
