import { type Candidates, keepRange, probabilitiesOf } from "./candidates.js";

/** Keeps the shortest prefix whose probability reaches `mass`. 1: all stay. */
export function keepNucleus(candidates: Candidates, mass: number): Candidates {
  if (!(mass < 1)) return candidates;
  let running = 0;
  const last = probabilitiesOf(candidates).findIndex((p) => {
    running += p;
    return running >= mass;
  });
  return last < 0 ? candidates : keepRange(candidates, 0, last + 1);
}
