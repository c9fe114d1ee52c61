/** For which dtypes a backend with kernels for the whole op table runs each op. */
import type { DType } from "./dtype.js";
import { type OpName, opNames } from "./op-table.js";

export interface KernelDTypes {
  /** Whether tables and matrices of weights are read in this type. */
  readonly isWeight: (dtype: DType) => boolean;
  readonly kvDTypes: readonly DType[];
}

/** `BackendTraits.supports` of such a backend: activations are f32 throughout, and anything is copied. */
export function kernelSupport({ isWeight, kvDTypes }: KernelDTypes): (op: OpName, dtype: DType) => boolean {
  return (op, dtype) => {
    switch (op) {
      case "embed":
      case "matmul":
      case "expertMatmul":
        return isWeight(dtype);
      case "storeKv":
      case "attention":
        return kvDTypes.includes(dtype);
      case "copy":
        return true;
      default:
        return opNames.includes(op) && dtype === "f32";
    }
  };
}
