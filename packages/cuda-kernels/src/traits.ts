/** What planning needs to know of the CUDA backend. Pure TypeScript: it plans for a GPU on machines without one, without the addon. */
import {
  type BackendTraits,
  byteLengthOf,
  type DType,
  fileRow,
  floatDTypes,
  isWeightDType,
  kernelSupport,
  numElementsOf,
  slicedShape,
  type TensorInfo,
  type TensorSlice,
  type WorkspaceQuery,
} from "@thermocline/spec";

const kvDTypes: readonly DType[] = ["f16", "q8_0", "q4_0", "f32"];

/** A thread loads 16 bytes at once, so each row of a matrix begins at a multiple of them. */
const rowAlignment = 16;
/** 32 activations as 8-bit integers, their scale as a float and the sums of both halves as binary16, which minima are multiplied with. */
const activationBlockBytes = 32 + 4 + 2 * 2;
/** Rows of logits that are sorted at the same time. */
const sortedRows = 4;

/** Pinned host memory that file rows pass through: one piece is filled while the other is copied. */
const pieceByteLength = 4 << 20;

const roundUp = (value: number, multiple: number) => Math.ceil(value / multiple) * multiple;

/** Matrices, and lists of matrices: a layer's experts. */
const weightLayout = ({ dtype, shape }: TensorInfo) =>
  (shape.length === 2 || shape.length === 3) && isWeightDType(dtype) ? "packed" : "plain";

/** A packed matrix holds the file's blocks in the file's order, each row padded to whole vector loads. */
function packedByteLength(info: TensorInfo, slices?: readonly TensorSlice[]): number {
  fileRow(info);
  const shape = slicedShape(info, slices);
  if (weightLayout(info) === "plain") return byteLengthOf(info.dtype, numElementsOf(shape));
  return numElementsOf(shape.slice(0, -1)) * roundUp(byteLengthOf(info.dtype, shape.at(-1)!), rowAlignment);
}

function loadStagingByteLength(info: TensorInfo, slices?: readonly TensorSlice[]): number {
  const { byteLength } = fileRow(info);
  const numRows = numElementsOf(slicedShape(info, slices).slice(0, -1));
  return Math.min(numRows, 2 * Math.max(1, Math.floor(pieceByteLength / Math.max(1, byteLength)))) * byteLength;
}

function activationBytes(dtype: DType, rows: number, columns: number): number {
  return floatDTypes.includes(dtype) ? 0 : rows * Math.ceil(columns / 32) * activationBlockBytes;
}

/**
 * Traits of every CUDA device. `packedByteLength` throws InvalidTensorError where a row or a slice is no whole number of quantisation
 * blocks, or a slice leaves the tensor.
 */
export const cudaTraits: BackendTraits = {
  kind: "cuda",
  // What cudaMalloc gives, and what texture and tensor-memory loads ask for.
  alignment: 256,
  kvDTypes,
  readsHostMemory: false,
  weightLayout,
  packedByteLength,
  loadStagingByteLength,
  supports: kernelSupport({ isWeight: isWeightDType, kvDTypes }),
  workspaceByteLength({ op, dtype, rows, columns, experts = 0 }: WorkspaceQuery): number {
    if (op === "matmul") return activationBytes(dtype, rows, columns);
    // First row and number of rows of each expert, and the rows sorted by expert.
    if (op === "expertMatmul") return 8 * experts + 4 * rows + activationBytes(dtype, rows, columns);
    // An index and a logit for each entry of the vocabulary.
    return op === "sample" ? Math.min(rows, sortedRows) * columns * 8 : 0;
  },
};
