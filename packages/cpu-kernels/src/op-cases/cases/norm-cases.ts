import { maxBatchSize } from "../batch-invariance.js";
import { gamma, unitRoundoff } from "../error-bounds.js";
import type { OpCase } from "../op-case.js";
import { Random } from "../random.js";
import { type RowProblem, rowCase, rowInvarianceCase } from "./row-case.js";

/** Heads of a row are normed each for itself. */
const rowShapeOf = (length: number, numHeads: number) => (numHeads === 1 ? {} : { rowShape: [numHeads, length] });

/**
 * The sum of H squares is off by γ(H + 1) at most, relative; mean and + eps by 2 more roundings; the square root halves what it sees; it,
 * the reciprocal and two products add 5.
 */
function rmsNormProblem(length: number, eps: number, scale: number, numHeads = 1): RowProblem {
  const random = new Random(length + numHeads);
  const x = random.normals(maxBatchSize * numHeads * length, scale);
  const weight = random.normals(length);
  const expected = new Float64Array(x.length);
  for (let vector = 0; vector < maxBatchSize * numHeads; vector++) {
    const values = x.subarray(vector * length, (vector + 1) * length);
    const meanSquare = values.reduce((sum, value) => sum + value ** 2, 0) / length;
    values.forEach((value, i) => {
      expected[vector * length + i] = (value / Math.sqrt(meanSquare + eps)) * weight[i]!;
    });
  }
  const relative = gamma(length + 3) / 2 + 5 * unitRoundoff;
  return {
    inputs: { x },
    shared: { weight: { array: weight, shape: [length] } },
    numColumns: numHeads * length,
    ...rowShapeOf(length, numHeads),
    expected,
    tolerance: expected.map((value) => relative * Math.abs(value)),
    record: (encoder, { out, x: input, weight: scales }) => encoder.rmsNorm(out!, input!, scales!, eps),
  };
}

/**
 * With δ the error of the mean, γ(H)·mean|x|: every centred value is off by δ + u·|d|; the variance, over centred values of mean zero, by
 * γ(H + 3)·v + 2u·v + δ²; the result by half of that relative to v + eps, and 5 roundings.
 */
function layerNormProblem(length: number, eps: number, hasBias: boolean, numHeads = 1): RowProblem {
  const random = new Random(1000 + length + numHeads);
  const x = random.normals(maxBatchSize * numHeads * length).map((value) => value + 0.5);
  const weight = random.normals(length);
  const bias = random.normals(length);
  const expected = new Float64Array(x.length);
  const tolerance = new Float64Array(x.length);
  for (let vector = 0; vector < maxBatchSize * numHeads; vector++) {
    const values = Float64Array.from(x.subarray(vector * length, (vector + 1) * length));
    const mean = values.reduce((sum, value) => sum + value, 0) / length;
    const meanError = (gamma(length) * values.reduce((sum, value) => sum + Math.abs(value), 0)) / length;
    const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / length;
    const inverse = 1 / Math.sqrt(variance + eps);
    const varianceError = (gamma(length + 3) + 2 * unitRoundoff) * variance + meanError ** 2;
    const relative = varianceError / (2 * (variance + eps)) + 5 * unitRoundoff;
    values.forEach((value, i) => {
      const at = vector * length + i;
      const scaled = (value - mean) * inverse * weight[i]!;
      const shift = hasBias ? bias[i]! : 0;
      const centredError = meanError + unitRoundoff * Math.abs(value - mean);
      expected[at] = scaled + shift;
      tolerance[at] =
        Math.abs(weight[i]!) * inverse * centredError * (1 + relative) +
        relative * Math.abs(scaled) +
        2 * unitRoundoff * Math.abs(scaled + shift);
    });
  }
  const shared = { weight: { array: weight, shape: [length] }, bias: { array: bias, shape: [length] } };
  return {
    inputs: { x },
    shared,
    numColumns: numHeads * length,
    ...rowShapeOf(length, numHeads),
    expected,
    tolerance,
    record: (encoder, { out, x: input, weight: scales, bias: shifts }) =>
      encoder.layerNorm(out!, input!, scales!, hasBias ? shifts : undefined, eps),
  };
}

export const normCases: readonly OpCase[] = [
  ...[1, 7, 64, 100, 2048].map((size) => rowCase("rmsNorm", "f32", `[T, ${size}]`, () => rmsNormProblem(size, 1e-5, 1))),
  rowCase("rmsNorm", "f32", "[T, 100], eps large beside the mean square", () => rmsNormProblem(100, 1e-5, 1e-3)),
  rowCase("rmsNorm", "f32", "[T, 100]", () => rmsNormProblem(100, 1e-6, 1), { inPlace: "x" }),
  rowCase("rmsNorm", "f32", "[T, 72]", () => rmsNormProblem(72, 1e-6, 1), { rowGap: 24 }),
  rowInvarianceCase("rmsNorm", "f32", "[T, 100]", () => rmsNormProblem(100, 1e-5, 1)),
  rowCase("rmsNorm", "f32", "[T, 5, 48] by heads", () => rmsNormProblem(48, 1e-6, 1, 5)),
  rowCase("rmsNorm", "f32", "[T, 3, 128] by heads", () => rmsNormProblem(128, 1e-6, 1, 3), { inPlace: "x", rowGap: 32 }),
  rowInvarianceCase("rmsNorm", "f32", "[T, 3, 20] by heads", () => rmsNormProblem(20, 1e-6, 1, 3)),
  ...[2, 7, 64, 100, 768].map((size) => rowCase("layerNorm", "f32", `[T, ${size}]`, () => layerNormProblem(size, 1e-5, true))),
  rowCase("layerNorm", "f32", "[T, 50], no bias", () => layerNormProblem(50, 1e-5, false)),
  rowCase("layerNorm", "f32", "[T, 50]", () => layerNormProblem(50, 1e-5, true), { inPlace: "x" }),
  rowCase("layerNorm", "f32", "[T, 3, 24] by heads", () => layerNormProblem(24, 1e-5, true, 3), { rowGap: 16 }),
  rowInvarianceCase("layerNorm", "f32", "[T, 100]", () => layerNormProblem(100, 1e-5, true)),
];
