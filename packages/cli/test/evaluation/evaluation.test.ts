import { describe, expect, it } from "vitest";
import { distributionOf, divergenceOf, surpriseOf } from "../../src/command-line/evaluation/distribution.js";
import { Evaluation } from "../../src/command-line/evaluation/evaluation.js";
import { exponentOf, quantileOf, RunningMean } from "../../src/command-line/evaluation/mean.js";

/** Logits are stored in f32: a probability of them is off by its rounding, 2^-24 of the logit, at most. */
const tolerance = 4 * 2 ** -24;
const logitsOf = (...probabilities: readonly number[]) => distributionOf(Float32Array.from(probabilities, Math.log));

describe("a distribution", () => {
  it("gives the probabilities that its logits came from, wherever they lie", () => {
    for (const shift of [0, 300, -300]) {
      const shifted = distributionOf(Float32Array.from([0.5, 0.25, 0.25], (p) => Math.log(p) + shift));
      // Around 300 an f32 is good to 2^-15.
      expect(surpriseOf(shifted, 1)).toBeCloseTo(Math.log(4), shift === 0 ? 6 : 4);
      expect(shifted.topToken).toBe(0);
    }
    expect(logitsOf(0.25, 0.375, 0.375).topToken).toBe(1);
  });

  it("is as far from another as the definition says", () => {
    const base = logitsOf(0.5, 0.5, 0);
    const model = logitsOf(0.25, 0.5, 0.25);
    expect(Math.abs(divergenceOf(base, model) - 0.5 * Math.log(2))).toBeLessThan(tolerance);
    expect(divergenceOf(base, base)).toBe(0);
    // The base finds possible what the model excludes.
    expect(divergenceOf(model, base)).toBe(Number.POSITIVE_INFINITY);
  });
});

describe("a running mean", () => {
  it("has the mean and the error of its figures", () => {
    const figures = [1e9 + 1, 1e9 + 2, 1e9 + 3, 1e9 + 6];
    const mean = new RunningMean();
    expect([mean.count, mean.mean, mean.standardError]).toEqual([0, Number.NaN, 0]);
    for (const figure of figures) mean.add(figure);
    // Squared distances 4, 1, 0, 9: variance 3.5, over n - 1 = 3.
    expect(mean.mean).toBe(1e9 + 3);
    expect(mean.standardError).toBeCloseTo(Math.sqrt(3.5 / 3), 12);
    const { value, standardError } = exponentOf({ mean: Math.log(8), standardError: 0.25 } as RunningMean);
    expect([value, standardError]).toEqual([expect.closeTo(8, 12), expect.closeTo(2, 12)]);
  });

  it.each([
    [0, 10],
    [0.5, 25],
    [0.99, 39.7],
    [1, 40],
  ])("finds the quantile %f between its neighbours", (fraction, value) => {
    expect(quantileOf([10, 20, 30, 40], fraction)).toBeCloseTo(value, 12);
  });
});

describe("an evaluation", () => {
  it("sums up two positions of two models as a hand does", () => {
    const evaluation = new Evaluation();
    // p of the token that came: 1/2 and 1/8, with the base 1/4 and 1/8.
    evaluation.add(0, logitsOf(0.5, 0.5), logitsOf(0.25, 0.75));
    evaluation.add(1, logitsOf(0.875, 0.125), logitsOf(0.875, 0.125));
    const { scoredTokens, perplexity, against } = evaluation.result();
    expect(scoredTokens).toBe(2);
    expect(perplexity.value).toBeCloseTo(4, 6);
    expect(against!.perplexity.value).toBeCloseTo(Math.sqrt(32), 6);
    expect(against!.perplexityRatio.value).toBeCloseTo(4 / Math.sqrt(32), 6);
    const divergence = 0.25 * Math.log(0.5) + 0.75 * Math.log(1.5);
    expect(against!.divergence).toEqual({
      value: expect.closeTo(divergence / 2, 6),
      standardError: expect.closeTo(divergence / 2, 6),
      median: expect.closeTo(divergence / 2, 6),
      percentile99: expect.closeTo(divergence * 0.99, 6),
      maximum: expect.closeTo(divergence, 6),
    });
    expect(against!.sameTopToken.value).toBe(0.5);
  });

  it("of one model says nothing of another", () => {
    const evaluation = new Evaluation();
    evaluation.add(0, logitsOf(0.5, 0.5));
    expect(evaluation.result()).toEqual({
      scoredTokens: 1,
      meanNegativeLogLikelihood: expect.closeTo(Math.log(2), 6),
      perplexity: { value: expect.closeTo(2, 6), standardError: 0 },
    });
  });
});
