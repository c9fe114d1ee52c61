import {
  type BackendTraits,
  type DType,
  fileRow,
  kernelSupport,
  numElementsOf,
  slicedShape,
  type TensorInfo,
  type TensorSlice,
} from "@thermocline/spec";
import { canDequantize } from "./dequantize/index.js";
import { rowsPerPiece } from "./load-weight.js";

const kvDTypes: readonly DType[] = ["f32", "f16", "q8_0", "q4_0"];

/** Traits of the reference backend: every op, every type; weights lie as f32, whatever the file's type. */
export const referenceTraits: BackendTraits = {
  kind: "reference",
  alignment: 64,
  kvDTypes,
  readsHostMemory: true,
  weightLayout: () => "packed",
  /** 4 bytes an element of the sliced shape. @throws InvalidTensorError as `Backend.load` does. */
  packedByteLength(info: TensorInfo, slices?: readonly TensorSlice[]): number {
    fileRow(info);
    return 4 * numElementsOf(slicedShape(info, slices));
  },
  /** A piece, with the rows between those that are wanted. */
  loadStagingByteLength(info: TensorInfo): number {
    const { byteLength } = fileRow(info);
    return Math.min(numElementsOf(info.shape.slice(0, -1)), rowsPerPiece(byteLength)) * byteLength;
  },
  supports: kernelSupport({ isWeight: canDequantize, kvDTypes }),
  workspaceByteLength: () => 0,
};
