import { type Candidates, keepPlaces, probabilitiesOf } from "./candidates.js";

/**
 * Keeps the candidates whose surprise is nearest the entropy, in nats: in ascending order of |-ln p - H|, ties in candidate order, up to the
 * first whose running sum of p exceeds `mass`. What is kept stays in candidate order; the most likely candidate may go.
 * C. Meister et al., Locally typical sampling, 2022. 1: all stay.
 */
export function keepTypical(candidates: Candidates, mass: number): Candidates {
  if (!(mass < 1)) return candidates;
  const probabilities = probabilitiesOf(candidates);
  const entropy = probabilities.reduce((sum, p) => (p > 0 ? sum - p * Math.log(p) : sum), 0);
  const distances = probabilities.map((p) => Math.abs(-Math.log(p) - entropy));
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
