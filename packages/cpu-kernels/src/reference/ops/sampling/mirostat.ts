import { type Candidates, keepPlaces, probabilitiesOf } from "./candidates.js";

/**
 * Mirostat 2: keeps the candidates whose surprise -log2(p), p at `temperature`, is at most the limit, and the first in any case.
 * S. Basu et al., Mirostat: a neural text decoding algorithm that directly controls perplexity, 2021.
 */
export function keepUnsurprising(candidates: Candidates, temperature: number, surpriseLimit: number): Candidates {
  const probabilities = probabilitiesOf(candidates, temperature);
  const places = [...probabilities.keys()].filter((place) => place === 0 || -Math.log2(probabilities[place]!) <= surpriseLimit);
  return keepPlaces(candidates, places);
}

/** The limit for the next draw, in bits: nearer to what lets through a surprise of `tau` on average. `share`: the drawn token's of those kept. */
export function nextSurpriseLimit(surpriseLimit: number, share: number, tau: number, eta: number): number {
  return surpriseLimit - eta * (-Math.log2(share) - tau);
}
