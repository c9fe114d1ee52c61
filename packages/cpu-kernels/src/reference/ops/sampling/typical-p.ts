import { type Candidates, keepPlaces, weightsOf } from "./candidates.js";

/**
 * Keeps the candidates whose surprise -ln p is nearest the entropy H = Σ p · -ln p: in ascending order of |-ln p - H|, ties in candidate
 * order, up to the first whose running sum of p exceeds `mass`. What is kept stays in candidate order; the most likely candidate may go.
 * C. Meister et al., Locally typical sampling, 2022. 1: all stay.
 */
export function keepTypical(candidates: Candidates, mass: number): Candidates {
  if (!(mass < 1)) return candidates;
  const weights = weightsOf(candidates);
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const probabilities = weights.map((weight) => weight / total);
  const surprises = candidates.logits.map((logit) => Math.log(total) - (logit - candidates.logits[0]!));
  const entropy = probabilities.reduce((sum, p, place) => (p > 0 ? sum + p * surprises[place]! : sum), 0);
  const distances = surprises.map((surprise) => Math.abs(surprise - entropy));
  const order = [...distances.keys()].sort((a, b) => distances[a]! - distances[b]! || a - b);
  let running = 0;
  const last = order.findIndex((place) => {
    running += probabilities[place]!;
    return running > mass;
  });
  const places = last < 0 ? order : order.slice(0, last + 1);
  return keepPlaces(
    candidates,
    places.sort((a, b) => a - b),
  );
}
