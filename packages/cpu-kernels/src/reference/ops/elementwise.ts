import { byteLengthOf, numElementsOf } from "@thermocline/spec";
import { floatsOf } from "../tensor-view.js";
import type { Kernel } from "./kernel.js";

/** out = a + b, each sum rounded to f32. */
export const add: Kernel<"add"> = ({ out, a, b }) => {
  const [numRows, numColumns] = out.shape as [number, number];
  const left = floatsOf(a);
  const right = floatsOf(b);
  const target = floatsOf(out);
  for (let row = 0; row < numRows; row++)
    for (let column = 0; column < numColumns; column++)
      target[row * out.rowStride + column] = left[row * a.rowStride + column]! + right[row * b.rowStride + column]!;
};

/** out = cap · tanh(x / cap) */
export const softcap: Kernel<"softcap"> = ({ out, x, cap }) => {
  const [numRows, numColumns] = out.shape as [number, number];
  const from = floatsOf(x);
  const target = floatsOf(out);
  for (let row = 0; row < numRows; row++)
    for (let column = 0; column < numColumns; column++)
      target[row * out.rowStride + column] = cap * Math.tanh(from[row * x.rowStride + column]! / cap);
};

/** Every element, not the gaps of strided rows. */
export const fill: Kernel<"fill"> = ({ out, value }) => {
  const target = floatsOf(out);
  const rowLength = numElementsOf(out.shape.slice(1));
  for (let row = 0; row < out.shape[0]!; row++) target.fill(value, row * out.rowStride, row * out.rowStride + rowLength);
};

/** Bytes of each row; the gaps of strided rows stay. */
export const copy: Kernel<"copy"> = ({ to, from }) => {
  const rowBytes = byteLengthOf(to.dtype, numElementsOf(to.shape.slice(1)));
  const toStride = byteLengthOf(to.dtype, to.rowStride);
  const fromStride = byteLengthOf(from.dtype, from.rowStride);
  for (let row = 0; row < to.shape[0]!; row++)
    to.bytes.set(from.bytes.subarray(row * fromStride, row * fromStride + rowBytes), row * toStride);
};
