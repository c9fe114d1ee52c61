/** What a position's logits say about the next token, in double precision. */

export interface Distribution {
  readonly logits: Float32Array;
  /** ln Σ exp(logit): what a logit has more than a log-probability. */
  readonly logSumExp: number;
  /** Most likely token, the lowest id on ties. */
  readonly topToken: number;
}

export function distributionOf(logits: Float32Array): Distribution {
  let topToken = 0;
  for (let id = 1; id < logits.length; id++) if (logits[id]! > logits[topToken]!) topToken = id;
  const largest = logits[topToken]!;
  let sum = 0;
  for (const logit of logits) sum += Math.exp(logit - largest);
  return { logits, logSumExp: largest + Math.log(sum), topToken };
}

/** -ln p of a token. */
export function surpriseOf({ logits, logSumExp }: Distribution, tokenId: number): number {
  return logSumExp - logits[tokenId]!;
}

/** KL(base || model) = Σ base · (ln base - ln model), in nats; tokens that base excludes add nothing. */
export function divergenceOf(base: Distribution, model: Distribution): number {
  let divergence = 0;
  for (let id = 0; id < base.logits.length; id++) {
    const logBase = base.logits[id]! - base.logSumExp;
    const probability = Math.exp(logBase);
    if (probability > 0) divergence += probability * (logBase - (model.logits[id]! - model.logSumExp));
  }
  // Rounding may leave less than nothing of two equal distributions.
  return Math.max(0, divergence);
}
