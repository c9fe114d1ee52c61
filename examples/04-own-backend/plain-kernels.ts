/** The ops of the plain backend, as the loops that their documentation in `KernelSet` describes. */
import type { Activation, CommandOf, DType, OpName, Tensor } from "@thermocline/spec";
import { floatsOf } from "./plain-memory.js";

/** The rows of an operand in this step. */
type Rows = (tensor: Tensor) => Uint8Array[];
type Kernels = { readonly [Op in "add" | "rmsNorm" | "activate" | "copy"]: (command: CommandOf<Op>, rows: Rows) => void };

const activations: Readonly<Record<Activation, (x: number) => number>> = {
  silu: (x) => x / (1 + Math.exp(-x)),
  // The tanh approximation.
  gelu: (x) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))),
  relu: (x) => Math.max(x, 0),
};

export const kernels: Kernels = {
  add({ out, a, b }, rows) {
    const [left, right] = [rows(a), rows(b)];
    rows(out).forEach((row, r) => {
      const [x, y] = [floatsOf(left[r]!), floatsOf(right[r]!)];
      floatsOf(row).forEach((_, column, sum) => {
        sum[column] = x[column]! + y[column]!;
      });
    });
  },

  rmsNorm({ out, x, weight, eps }, rows) {
    const input = rows(x);
    const scales = floatsOf(rows(weight)[0]!);
    const { length } = scales;
    rows(out).forEach((row, r) => {
      const [values, result] = [floatsOf(input[r]!), floatsOf(row)];
      // A row is one vector, or the vectors of a token's heads.
      for (let first = 0; first < values.length; first += length) {
        const vector = values.subarray(first, first + length);
        const meanSquare = vector.reduce((sum, value) => sum + value * value, 0) / length;
        const inverse = 1 / Math.sqrt(meanSquare + eps);
        result.set(
          vector.map((value, column) => value * inverse * scales[column]!),
          first,
        );
      }
    });
  },

  activate({ out, gate, up, activation }, rows) {
    const apply = activations[activation];
    const [gates, ups] = [rows(gate), up && rows(up)];
    rows(out).forEach((row, r) => {
      const factors = ups && floatsOf(ups[r]!);
      const values = floatsOf(gates[r]!);
      floatsOf(row).forEach((_, column, result) => {
        result[column] = apply(values[column]!) * (factors?.[column] ?? 1);
      });
    });
  },

  copy({ to, from }, rows) {
    const source = rows(from);
    rows(to).forEach((row, r) => {
      row.set(source[r]!);
    });
  },
};

export function supports(op: OpName, dtype: DType): boolean {
  return op in kernels && (op === "copy" || dtype === "f32");
}
