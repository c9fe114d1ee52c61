import type { CommandOf, OpName, Tensor } from "@thermocline/spec";
import { KernelFault, type TensorView } from "../tensor-view.js";

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
