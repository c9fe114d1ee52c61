import { type Candidates, keepRange, probabilitiesOf } from "./candidates.js";

/** Excludes top choices: of the candidates with a probability of at least `threshold` only the last stays, with those behind it. */
export function excludeTopChoices(candidates: Candidates, threshold: number): Candidates {
  const firstBelow = probabilitiesOf(candidates).findIndex((p) => p < threshold);
  const numTopChoices = firstBelow < 0 ? candidates.ids.length : firstBelow;
  return keepRange(candidates, Math.max(0, numTopChoices - 1), candidates.ids.length);
}
