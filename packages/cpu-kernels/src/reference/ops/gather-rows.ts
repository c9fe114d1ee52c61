import { floatsOf, integersOf } from "../tensor-view.js";
import { checkIndex, type Kernel } from "./kernel.js";

/** out[r] = x[rows[r]], bit for bit. */
export const gatherRows: Kernel<"gatherRows"> = ({ out, x, rows }) => {
  const [numRows, numColumns] = out.shape as [number, number];
  const indices = integersOf(rows);
  const from = floatsOf(x);
  const target = floatsOf(out);
  for (let r = 0; r < numRows; r++) {
    const row = indices[r * rows.rowStride]!;
    checkIndex(`rows[${r}]`, row, x.shape[0]!);
    target.set(from.subarray(row * x.rowStride, row * x.rowStride + numColumns), r * out.rowStride);
  }
};
