import { floatsOf, type TensorView, valuesOf } from "../tensor-view.js";
import type { Kernel } from "./kernel.js";

/** Multiply-adds between two chances for the event loop: well under a millisecond. */
const macsPerPiece = 1 << 18;

/**
 * out[t, n] = Σk x[t, k] · weight[n, k] (+ bias[n]), k ascending in double precision. Four outputs side by side keep the adder busy;
 * each still has its own sum.
 */
export const matmul: Kernel<"matmul"> = function* ({ out, x, weight, bias }) {
  const [numTokens, numColumns] = out.shape as [number, number];
  const innerSize = weight.shape[1]!;
  const from = floatsOf(x);
  const target = floatsOf(out);
  const weights = valuesOf(weight);
  const stride = weight.rowStride;
  const shiftOf = biasReader(bias);
  const row = new Float64Array(innerSize);
  let macs = 0;
  for (let t = 0; t < numTokens; t++) {
    row.set(from.subarray(t * x.rowStride, t * x.rowStride + innerSize));
    const base = t * out.rowStride;
    let n = 0;
    for (; n + 4 <= numColumns; n += 4) {
      const first = n * stride;
      let sum0 = 0;
      let sum1 = 0;
      let sum2 = 0;
      let sum3 = 0;
      for (let k = 0; k < innerSize; k++) {
        const value = row[k]!;
        sum0 += value * weights[first + k]!;
        sum1 += value * weights[first + stride + k]!;
        sum2 += value * weights[first + 2 * stride + k]!;
        sum3 += value * weights[first + 3 * stride + k]!;
      }
      target[base + n] = sum0 + shiftOf(n);
      target[base + n + 1] = sum1 + shiftOf(n + 1);
      target[base + n + 2] = sum2 + shiftOf(n + 2);
      target[base + n + 3] = sum3 + shiftOf(n + 3);
      macs += 4 * innerSize;
      if (macs >= macsPerPiece) {
        macs = 0;
        yield;
      }
    }
    for (; n < numColumns; n++) {
      let sum = 0;
      for (let k = 0; k < innerSize; k++) sum += row[k]! * weights[n * stride + k]!;
      target[base + n] = sum + shiftOf(n);
    }
  }
};

function biasReader(bias: TensorView | undefined): (n: number) => number {
  if (bias === undefined) return () => 0;
  const values = valuesOf(bias);
  return (n) => values[n * bias.rowStride]!;
}
