/** What the steps of sampling hand to one another: the tokens that may still be drawn. */

/** At least one token; logits descending, lowest id first on ties. */
export interface Candidates {
  readonly ids: Int32Array;
  /** f32 values. */
  readonly logits: Float64Array;
}

/** All tokens. `logits` [V] f32, no NaN. */
export function candidatesOf(logits: Float32Array): Candidates {
  const ids = Int32Array.from(logits.keys()).sort((a, b) => logits[b]! - logits[a]! || a - b);
  return { ids, logits: Float64Array.from(ids, (id) => logits[id]!) };
}

/** exp((l - l_first) / temperature): what probabilities are proportional to. */
export function weightsOf({ logits }: Candidates, temperature = 1): Float64Array {
  const first = logits[0]!;
  return logits.map((logit) => Math.exp((logit - first) / temperature));
}

/** Softmax at `temperature` over the candidates, summed in their order. */
export function probabilitiesOf(candidates: Candidates, temperature = 1): Float64Array {
  const weights = weightsOf(candidates, temperature);
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  return weights.map((weight) => weight / total);
}

/** The candidates at `places`, which ascend; the first candidate where there are none. */
export function keepPlaces({ ids, logits }: Candidates, places: readonly number[]): Candidates {
  const kept = places.length > 0 ? places : [0];
  return { ids: Int32Array.from(kept, (place) => ids[place]!), logits: Float64Array.from(kept, (place) => logits[place]!) };
}

/** The candidates from `first` to `end` - 1, at least one. */
export function keepRange({ ids, logits }: Candidates, first: number, end: number): Candidates {
  const atLeast = Math.max(end, first + 1);
  return { ids: ids.subarray(first, atLeast), logits: logits.subarray(first, atLeast) };
}
