import { floatsOf, valuesOf } from "../tensor-view.js";
import type { Kernel } from "./kernel.js";

/** out[t] = x[t] / sqrt(mean(x[t]²) + eps) · weight */
export const rmsNorm: Kernel<"rmsNorm"> = ({ out, x, weight, eps }) => {
  const [numTokens, hiddenSize] = out.shape as [number, number];
  const from = floatsOf(x);
  const target = floatsOf(out);
  const scales = valuesOf(weight);
  for (let t = 0; t < numTokens; t++) {
    const row = from.subarray(t * x.rowStride, t * x.rowStride + hiddenSize);
    let sumOfSquares = 0;
    for (const value of row) sumOfSquares += value * value;
    const inverse = 1 / Math.sqrt(sumOfSquares / hiddenSize + eps);
    for (let i = 0; i < hiddenSize; i++) target[t * out.rowStride + i] = row[i]! * inverse * scales[i * weight.rowStride]!;
  }
};

/** out[t] = (x[t] - mean) / sqrt(variance + eps) · weight + bias, the variance over hiddenSize. */
export const layerNorm: Kernel<"layerNorm"> = ({ out, x, weight, bias, eps }) => {
  const [numTokens, hiddenSize] = out.shape as [number, number];
  const from = floatsOf(x);
  const target = floatsOf(out);
  const scales = valuesOf(weight);
  const shifts = bias && valuesOf(bias);
  for (let t = 0; t < numTokens; t++) {
    const row = from.subarray(t * x.rowStride, t * x.rowStride + hiddenSize);
    let sum = 0;
    for (const value of row) sum += value;
    const mean = sum / hiddenSize;
    let sumOfSquares = 0;
    for (const value of row) sumOfSquares += (value - mean) ** 2;
    const inverse = 1 / Math.sqrt(sumOfSquares / hiddenSize + eps);
    for (let i = 0; i < hiddenSize; i++) {
      const shift = shifts === undefined ? 0 : shifts[i * bias!.rowStride]!;
      target[t * out.rowStride + i] = (row[i]! - mean) * inverse * scales[i * weight.rowStride]! + shift;
    }
  }
};
