import { floatsOf, type TensorView, valuesOf } from "../tensor-view.js";
import type { Kernel } from "./kernel.js";

/** First elements in `x` and `out` of every vector along the last axis of [T, H] or [T, numHeads, headDim]. */
function* vectorsOf(x: TensorView, out: TensorView): Generator<readonly [from: number, to: number]> {
  const length = out.shape.at(-1)!;
  const numHeads = out.shape.length === 3 ? out.shape[1]! : 1;
  for (let t = 0; t < out.shape[0]!; t++)
    for (let head = 0; head < numHeads; head++) yield [t * x.rowStride + head * length, t * out.rowStride + head * length];
}

/** y = x / sqrt(mean(x²) + eps) · weight */
export const rmsNorm: Kernel<"rmsNorm"> = ({ out, x, weight, eps }) => {
  const length = out.shape.at(-1)!;
  const values = floatsOf(x);
  const target = floatsOf(out);
  const scales = valuesOf(weight);
  for (const [from, to] of vectorsOf(x, out)) {
    const vector = values.subarray(from, from + length);
    let sumOfSquares = 0;
    for (const value of vector) sumOfSquares += value * value;
    const inverse = 1 / Math.sqrt(sumOfSquares / length + eps);
    for (let i = 0; i < length; i++) target[to + i] = vector[i]! * inverse * scales[i * weight.rowStride]!;
  }
};

/** y = (x - mean) / sqrt(variance + eps) · weight + bias, the variance over the vector's length. */
export const layerNorm: Kernel<"layerNorm"> = ({ out, x, weight, bias, eps }) => {
  const length = out.shape.at(-1)!;
  const values = floatsOf(x);
  const target = floatsOf(out);
  const scales = valuesOf(weight);
  const shifts = bias && valuesOf(bias);
  for (const [from, to] of vectorsOf(x, out)) {
    const vector = values.subarray(from, from + length);
    let sum = 0;
    for (const value of vector) sum += value;
    const mean = sum / length;
    let sumOfSquares = 0;
    for (const value of vector) sumOfSquares += (value - mean) ** 2;
    const inverse = 1 / Math.sqrt(sumOfSquares / length + eps);
    for (let i = 0; i < length; i++) {
      const shift = shifts === undefined ? 0 : shifts[i * bias!.rowStride]!;
      target[to + i] = (vector[i]! - mean) * inverse * scales[i * weight.rowStride]! + shift;
    }
  }
};
