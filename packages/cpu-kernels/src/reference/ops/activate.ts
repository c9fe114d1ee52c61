import type { Activation } from "@thermocline/spec";
import { floatsOf } from "../tensor-view.js";
import type { Kernel } from "./kernel.js";

/** sqrt(2 / π) */
const geluScale = 0.7978845608028654;

/**
 * silu: x / (1 + e^-x). relu: max(x, 0), NaN stays.
 * gelu: ½ · x · (1 + tanh(sqrt(2 / π) · (x + 0.044715 · x³))), the tanh approximation that ggml computes.
 */
const activations: Readonly<Record<Activation, (x: number) => number>> = {
  silu: (x) => x / (1 + Math.exp(-x)),
  gelu: (x) => 0.5 * x * (1 + Math.tanh(geluScale * x * (1 + 0.044715 * x * x))),
  relu: (x) => (x < 0 ? 0 : x),
};

/** out = activation(gate) · up, or activation(gate) without up; rounded to f32 once. */
export const activate: Kernel<"activate"> = ({ out, gate, up, activation }) => {
  const [numRows, numColumns] = out.shape as [number, number];
  const apply = activations[activation];
  const gates = floatsOf(gate);
  const ups = up && floatsOf(up);
  const target = floatsOf(out);
  for (let row = 0; row < numRows; row++)
    for (let column = 0; column < numColumns; column++) {
      const factor = ups === undefined ? 1 : ups[row * up!.rowStride + column]!;
      target[row * out.rowStride + column] = apply(gates[row * gate.rowStride + column]!) * factor;
    }
};
