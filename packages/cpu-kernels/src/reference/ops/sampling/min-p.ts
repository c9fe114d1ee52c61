import { type Candidates, keepRange, probabilitiesOf } from "./candidates.js";

/** Drops the candidates that are less likely than `share` of the first. 0: all stay. */
export function keepLikely(candidates: Candidates, share: number): Candidates {
  if (!(share > 0)) return candidates;
  const probabilities = probabilitiesOf(candidates);
  const firstBelow = probabilities.findIndex((p) => p < share * probabilities[0]!);
  return firstBelow < 0 ? candidates : keepRange(candidates, 0, firstBelow);
}
