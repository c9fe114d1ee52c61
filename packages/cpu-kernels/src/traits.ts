/** What planning needs to know of the CPU backend. Pure TypeScript: the sizes equal those of the addon without loading it. */
import {
  type BackendTraits,
  byteLengthOf,
  type DType,
  type OpName,
  opNames,
  type TensorInfo,
  type TensorSlice,
  type WorkspaceQuery,
} from "@thermocline/spec";
import { sliceTensor } from "./reference/slices.js";

/** Rows that the packed layout interleaves; a last group is padded with zeros. */
export const rowsPerGroup = 16;

/** Bytes of one group of rows over `blockSize` columns: 16 f16 scales and the quants of 16 rows, or 16 values. */
const packedGroups: Partial<Record<DType, { readonly blockSize: number; readonly byteLength: number }>> = {
  f32: { blockSize: 1, byteLength: 64 },
  f16: { blockSize: 1, byteLength: 32 },
  q4_0: { blockSize: 32, byteLength: 288 },
  q8_0: { blockSize: 32, byteLength: 544 },
};

/** One block of 32 quantised activations: 32 bytes, a float scale, an int32 sum. */
const quantisedBlock = { columns: 32, byteLength: 40 };

const kvDTypes: readonly DType[] = ["f16", "f32", "q8_0", "q4_0"];
/** Storage types whose plain tensors the native runtime can address. */
const addressableDTypes: readonly DType[] = ["f32", "f16", "bf16", "f64", "i8", "i16", "i32", "i64", "q4_0", "q8_0"];

function supports(op: OpName, dtype: DType): boolean {
  switch (op) {
    case "embed":
    case "matmul":
    case "expertMatmul":
      return dtype in packedGroups;
    case "storeKv":
    case "attention":
      return kvDTypes.includes(dtype);
    case "copy":
      return addressableDTypes.includes(dtype);
    default:
      return opNames.includes(op) && dtype === "f32";
  }
}

const weightLayout = ({ dtype, shape }: TensorInfo) => (shape.length === 2 && dtype in packedGroups ? "packed" : "plain");

function packedByteLength(info: TensorInfo, slices?: readonly TensorSlice[]): number {
  const { shape } = sliceTensor(info, slices);
  if (weightLayout(info) === "plain")
    return byteLengthOf(
      info.dtype,
      shape.reduce((product, length) => product * length, 1),
    );
  const [rows, columns] = shape as [number, number];
  const { blockSize, byteLength } = packedGroups[info.dtype]!;
  return Math.ceil(rows / rowsPerGroup) * (columns / blockSize) * byteLength;
}

/**
 * Traits of a CPU backend with this many threads; only the workspace of `sample` depends on them.
 * `packedByteLength` throws InvalidTensorError where a slice leaves the tensor or cuts a quantisation block.
 */
export function createCpuTraits({ threads }: { readonly threads: number }): BackendTraits {
  return {
    kind: "cpu",
    alignment: 64,
    kvDTypes,
    readsHostMemory: true,
    weightLayout,
    packedByteLength,
    supports,
    workspaceByteLength({ op, dtype, rows, columns }: WorkspaceQuery): number {
      if ((op === "matmul" || op === "expertMatmul") && (dtype === "q8_0" || dtype === "q4_0"))
        return ((rows * columns) / quantisedBlock.columns) * quantisedBlock.byteLength;
      // An index and a logit for each entry of the vocabulary and thread.
      return op === "sample" ? threads * columns * 8 : 0;
    },
  };
}
