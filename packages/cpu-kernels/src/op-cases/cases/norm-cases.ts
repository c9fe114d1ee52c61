import { maxBatchSize } from "../batch-invariance.js";
import { gamma, unitRoundoff } from "../error-bounds.js";
import type { OpCase } from "../op-case.js";
import { Random } from "../random.js";
import { type RowProblem, rowCase, rowInvarianceCase } from "./row-case.js";

/**
 * The sum of H squares is off by γ(H + 1) at most, relative; mean and + eps by 2 more roundings; the square root halves what it sees; it,
 * the reciprocal and two products add 5.
 */
function rmsNormProblem(hiddenSize: number, eps: number, scale: number): RowProblem {
  const random = new Random(hiddenSize);
  const x = random.normals(maxBatchSize * hiddenSize, scale);
  const weight = random.normals(hiddenSize);
  const expected = new Float64Array(x.length);
  for (let row = 0; row < maxBatchSize; row++) {
    const values = x.subarray(row * hiddenSize, (row + 1) * hiddenSize);
    const meanSquare = values.reduce((sum, value) => sum + value ** 2, 0) / hiddenSize;
    values.forEach((value, i) => {
      expected[row * hiddenSize + i] = (value / Math.sqrt(meanSquare + eps)) * weight[i]!;
    });
  }
  const relative = gamma(hiddenSize + 3) / 2 + 5 * unitRoundoff;
  return {
    inputs: { x },
    shared: { weight: { array: weight, shape: [hiddenSize] } },
    numColumns: hiddenSize,
    expected,
    tolerance: expected.map((value) => relative * Math.abs(value)),
    record: (encoder, { out, x: input, weight: scales }) => encoder.rmsNorm(out!, input!, scales!, eps),
  };
}

/**
 * With δ the error of the mean, γ(H)·mean|x|: every centred value is off by δ + u·|d|; the variance, over centred values of mean zero, by
 * γ(H + 3)·v + 2u·v + δ²; the result by half of that relative to v + eps, and 5 roundings.
 */
function layerNormProblem(hiddenSize: number, eps: number, hasBias: boolean): RowProblem {
  const random = new Random(1000 + hiddenSize);
  const x = random.normals(maxBatchSize * hiddenSize).map((value) => value + 0.5);
  const weight = random.normals(hiddenSize);
  const bias = random.normals(hiddenSize);
  const expected = new Float64Array(x.length);
  const tolerance = new Float64Array(x.length);
  for (let row = 0; row < maxBatchSize; row++) {
    const values = Float64Array.from(x.subarray(row * hiddenSize, (row + 1) * hiddenSize));
    const mean = values.reduce((sum, value) => sum + value, 0) / hiddenSize;
    const meanError = (gamma(hiddenSize) * values.reduce((sum, value) => sum + Math.abs(value), 0)) / hiddenSize;
    const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / hiddenSize;
    const inverse = 1 / Math.sqrt(variance + eps);
    const varianceError = (gamma(hiddenSize + 3) + 2 * unitRoundoff) * variance + meanError ** 2;
    const relative = varianceError / (2 * (variance + eps)) + 5 * unitRoundoff;
    values.forEach((value, i) => {
      const at = row * hiddenSize + i;
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
  const shared = { weight: { array: weight, shape: [hiddenSize] }, bias: { array: bias, shape: [hiddenSize] } };
  return {
    inputs: { x },
    shared,
    numColumns: hiddenSize,
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
  ...[2, 7, 64, 100, 768].map((size) => rowCase("layerNorm", "f32", `[T, ${size}]`, () => layerNormProblem(size, 1e-5, true))),
  rowCase("layerNorm", "f32", "[T, 50], no bias", () => layerNormProblem(50, 1e-5, false)),
  rowCase("layerNorm", "f32", "[T, 50]", () => layerNormProblem(50, 1e-5, true), { inPlace: "x" }),
  rowInvarianceCase("layerNorm", "f32", "[T, 100]", () => layerNormProblem(100, 1e-5, true)),
];
