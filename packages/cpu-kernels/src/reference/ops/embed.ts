import { floatsOf, integersOf, valuesOf } from "../tensor-view.js";
import { checkIndex, type Kernel } from "./kernel.js";

/** out[t] = table[tokenIds[t]], exactly the dequantised row. */
export const embed: Kernel<"embed"> = ({ out, table, tokenIds }) => {
  const [numTokens, hiddenSize] = out.shape as [number, number];
  const ids = integersOf(tokenIds);
  const rows = valuesOf(table);
  const target = floatsOf(out);
  for (let t = 0; t < numTokens; t++) {
    const id = ids[t * tokenIds.rowStride]!;
    checkIndex(`tokenIds[${t}]`, id, table.shape[0]!);
    const first = id * table.rowStride;
    target.set(rows.subarray(first, first + hiddenSize), t * out.rowStride);
  }
};
