/** Whether two runs of a model gave the same text as far as arithmetic can promise it. */

/** @typedef {import("./measurements.mjs").CheckResult} CheckResult */

/**
 * 8-bit activations put an engine up to 0.25 from exact log-probabilities on random weights, so two engines differ by up to twice that;
 * and where the best two lie within twice a difference, either may be chosen.
 */
export const largestLogprobDifference = 0.5;

/**
 * Compares greedy ids, and log-probabilities up to the first id that differs.
 * @param {CheckResult} a
 * @param {CheckResult} b
 * @returns {{ readonly isSame: boolean, readonly equalTokens: number, readonly largestDifference: number, readonly marginAtPart?: number }}
 */
export function compareGreedyText(a, b) {
  let largestDifference = 0;
  for (const [index, stepOfA] of a.steps.entries()) {
    const inB = new Map(b.steps[index]);
    for (const [tokenId, logprob] of stepOfA) {
      const other = inB.get(tokenId);
      if (!Number.isFinite(logprob)) return { isSame: false, equalTokens: index, largestDifference: Number.POSITIVE_INFINITY };
      if (other !== undefined) largestDifference = Math.max(largestDifference, Math.abs(logprob - other));
    }
    if (a.tokenIds[index] === b.tokenIds[index]) continue;
    const marginAtPart = stepOfA[0][1] - stepOfA[1][1];
    const isNearTie = marginAtPart <= 2 * largestLogprobDifference;
    return {
      isSame: isNearTie && index > 0 && largestDifference <= largestLogprobDifference,
      equalTokens: index,
      largestDifference,
      marginAtPart,
    };
  }
  return { isSame: largestDifference <= largestLogprobDifference, equalTokens: a.steps.length, largestDifference };
}
