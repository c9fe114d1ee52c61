import type { CommandOf, OpName, Tensor } from "@thermocline/spec";
import { integersOf, KernelFault, type TensorView } from "../tensor-view.js";

/** Fields of a command with its tensors resolved. */
export type Operands<O extends OpName> = {
  readonly [F in keyof CommandOf<O>]: CommandOf<O>[F] extends Tensor
    ? TensorView
    : CommandOf<O>[F] extends Tensor | undefined
      ? TensorView | undefined
      : CommandOf<O>[F];
};

/** Runs to the end, or in pieces of at most a few milliseconds: the executor lets the event loop live between them. */
export type Kernel<O extends OpName> = (operands: Operands<O>) => void | Generator<void, void, void>;

/** @throws KernelFault unless 0 <= value < limit. */
export function checkIndex(what: string, value: number, limit: number): void {
  if (value < 0 || value >= limit) throw new KernelFault(`${what} is ${value}, outside 0 … ${limit - 1}`);
}

/**
 * First and end row of each sequence among the `numRows` rows of operand `rowsField`.
 * @throws KernelFault where they descend or leave the operand.
 */
export function checkQueryStarts(
  queryStarts: TensorView,
  numSequences: number,
  numRows: number,
  rowsField: string,
): readonly (readonly [firstRow: number, endRow: number])[] {
  const starts = integersOf(queryStarts);
  if (queryStarts.shape[0]! < numSequences + 1)
    throw new KernelFault(`queryStarts has ${queryStarts.shape[0]} entries for ${numSequences} sequences`);
  return Array.from({ length: numSequences }, (_, sequence) => {
    const firstRow = starts[sequence * queryStarts.rowStride]!;
    const endRow = starts[(sequence + 1) * queryStarts.rowStride]!;
    if (firstRow < 0 || endRow < firstRow || endRow > numRows)
      throw new KernelFault(`queryStarts[${sequence}] and the next are ${firstRow} and ${endRow}; ${rowsField} has ${numRows} rows`);
    return [firstRow, endRow] as const;
  });
}
