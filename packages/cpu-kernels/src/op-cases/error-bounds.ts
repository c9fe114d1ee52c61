/**
 * How far f32 arithmetic may be from the exact result: bounds that hold for every order of summation, after Higham, Accuracy and
 * Stability of Numerical Algorithms, chapters 2 and 3.
 */

/** Unit roundoff of f32: a correctly rounded operation is off by at most this, relative to its result. */
export const unitRoundoff = 2 ** -24;

/** γ_n = n·u / (1 - n·u): relative error of a product or sum of n rounded operations on terms of one sign. */
export function gamma(numOperations: number): number {
  return (numOperations * unitRoundoff) / (1 - numOperations * unitRoundoff);
}

/**
 * Relative error of a good f32 exp(x), tanh or log kernel: 4 units in the last place. Range reduction rounds the argument, which the
 * result sees multiplied by |x|: add `2 · u · |x|` for exp.
 */
export const functionRoundoff = 4 * unitRoundoff;

/** Relative error of exp(x) in f32. */
export function exponentialError(x: number): number {
  return functionRoundoff + 2 * unitRoundoff * Math.abs(x);
}

/** Results under 2^-126 may be flushed to zero, and intermediate exponentials of them overflow: an absolute allowance. */
export const underflowAllowance = 2 ** -120;
