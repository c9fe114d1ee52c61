import { floatsOf, type TensorView, valuesOf } from "../tensor-view.js";
import type { Kernel } from "./kernel.js";
import { multiplyRow } from "./multiply-row.js";

/** out[t, n] = Σk x[t, k] · weight[n, k] (+ bias[n]) */
export const matmul: Kernel<"matmul"> = function* ({ out, x, weight, bias }) {
  const [numTokens, numColumns] = out.shape as [number, number];
  const innerSize = weight.shape[1]!;
  const from = floatsOf(x);
  const target = floatsOf(out);
  const matrix = { values: valuesOf(weight), first: 0, rowStride: weight.rowStride, biases: biasesOf(bias, numColumns) };
  for (let t = 0; t < numTokens; t++) {
    const row = from.subarray(t * x.rowStride, t * x.rowStride + innerSize);
    yield* multiplyRow(target.subarray(t * out.rowStride, t * out.rowStride + numColumns), row, matrix);
  }
};

function biasesOf(bias: TensorView | undefined, numColumns: number): Float64Array | undefined {
  if (bias === undefined) return undefined;
  const values = valuesOf(bias);
  return Float64Array.from({ length: numColumns }, (_, n) => values[n * bias.rowStride]!);
}
