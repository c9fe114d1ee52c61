import { type Candidates, keepRange, weightsOf } from "./candidates.js";

/** Drops the candidates that are less likely than `share` of the first. 0: all stay. */
export function keepLikely(candidates: Candidates, share: number): Candidates {
  if (!(share > 0)) return candidates;
  const firstBelow = weightsOf(candidates).findIndex((weight) => weight < share);
  return firstBelow < 0 ? candidates : keepRange(candidates, 0, firstBelow);
}
