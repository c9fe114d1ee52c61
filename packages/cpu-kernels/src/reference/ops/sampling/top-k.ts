import { type Candidates, keepRange } from "./candidates.js";

/** Keeps the k most likely candidates. 0: all stay. */
export function keepMostLikely(candidates: Candidates, k: number): Candidates {
  return k > 0 ? keepRange(candidates, 0, Math.min(k, candidates.ids.length)) : candidates;
}
