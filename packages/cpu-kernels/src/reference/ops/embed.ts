import { floatsOf, integersOf, valuesOf } from "../tensor-view.js";
import { checkIndex, type Kernel } from "./kernel.js";

/** out[t] = scale · table[tokenIds[t]], rounded to f32 once; scale 1 gives exactly the dequantised row. */
export const embed: Kernel<"embed"> = ({ out, table, tokenIds, scale }) => {
  const [numTokens, hiddenSize] = out.shape as [number, number];
  const ids = integersOf(tokenIds);
  const rows = valuesOf(table);
  const target = floatsOf(out);
  for (let t = 0; t < numTokens; t++) {
    const id = ids[t * tokenIds.rowStride]!;
    checkIndex(`tokenIds[${t}]`, id, table.shape[0]!);
    const first = id * table.rowStride;
    const at = t * out.rowStride;
    for (let i = 0; i < hiddenSize; i++) target[at + i] = scale * rows[first + i]!;
  }
};
