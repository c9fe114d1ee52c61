import { floatsOf } from "../tensor-view.js";
import { checkQueryStarts, type Kernel } from "./kernel.js";

/** out[s] = mean of rows queryStarts[s] … queryStarts[s + 1] - 1 of x, in double precision; zeros where there are none. */
export const meanPool: Kernel<"meanPool"> = ({ out, x, queryStarts }) => {
  const [numSequences, numColumns] = out.shape as [number, number];
  const from = floatsOf(x);
  const target = floatsOf(out);
  const starts = checkQueryStarts(queryStarts, numSequences, x.shape[0]!, "x");
  for (const [sequence, [firstRow, endRow]] of starts.entries())
    for (let column = 0; column < numColumns; column++) {
      let sum = 0;
      for (let row = firstRow; row < endRow; row++) sum += from[row * x.rowStride + column]!;
      target[sequence * out.rowStride + column] = endRow === firstRow ? 0 : sum / (endRow - firstRow);
    }
};
