import { type Candidates, keepRange } from "./candidates.js";

/**
 * Keeps the candidates whose logit is at least max - n · σ, σ² the mean square distance of the finite logits from their mean, both summed by
 * ascending id. C. Tang et al., Top-nσ: not all logits are you need, 2024. 0: all stay.
 * @param candidates all tokens.
 */
export function keepWithinSigmas(candidates: Candidates, numSigmas: number): Candidates {
  if (!(numSigmas > 0)) return candidates;
  const byId = new Float64Array(candidates.ids.length);
  for (const [place, id] of candidates.ids.entries()) byId[id] = candidates.logits[place]!;
  const finite = byId.filter(Number.isFinite);
  const mean = finite.reduce((sum, logit) => sum + logit, 0) / finite.length;
  const variance = finite.reduce((sum, logit) => sum + (logit - mean) ** 2, 0) / finite.length;
  const lowest = candidates.logits[0]! - numSigmas * Math.sqrt(variance);
  const firstBelow = candidates.logits.findIndex((logit) => logit < lowest);
  return firstBelow < 0 ? candidates : keepRange(candidates, 0, firstBelow);
}
