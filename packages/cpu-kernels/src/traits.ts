/** What planning needs to know of the CPU backend. Pure TypeScript: the sizes equal those of the addon without loading it. */
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

/** Rows that the packed layout interleaves; a last group is padded with zeros. */
export const rowsPerGroup = 16;

/** File bytes that are asked of a URL or a Blob at a time: large enough that a server's latency is small beside the transfer. */
const pieceByteLength = 4 << 20;

/** File rows of a piece, at most: whole groups, one where its rows are longer. */
export function rowsPerPiece(rowByteLength: number): number {
  return rowsPerGroup * Math.max(1, Math.floor(pieceByteLength / rowsPerGroup / Math.max(1, rowByteLength)));
}

/** Types of which a block of 32 activations meets two scales: its halves are summed apart. */
const dtypesWithSubBlocksOf16: readonly DType[] = ["q2_k", "q3_k", "q6_k", "iq1_m", "iq2_xs", "iq2_s", "nvfp4"];

/** Bytes of activations [rows, columns] as a product with a weight of `dtype` quantises them: 32 values, a float scale and 4 bytes for each
 *  sub-block. */
function activationBytes(dtype: DType, rows: number, columns: number): number {
  if (floatDTypes.includes(dtype)) return 0;
  const blockBytes = 32 + 4 + 4 * (dtypesWithSubBlocksOf16.includes(dtype) ? 2 : 1);
  return rows * (columns / 32) * blockBytes;
}

const kvDTypes: readonly DType[] = ["f16", "f32", "q8_0", "q4_0"];

/** Matrices, and lists of matrices: a layer's experts. */
const weightLayout = ({ dtype, shape }: TensorInfo) =>
  (shape.length === 2 || shape.length === 3) && isWeightDType(dtype) ? "packed" : "plain";

function packedByteLength(info: TensorInfo, slices?: readonly TensorSlice[]): number {
  fileRow(info);
  const shape = slicedShape(info, slices);
  const padded = [...shape];
  // Each matrix of a list is padded by itself.
  if (weightLayout(info) === "packed") padded[shape.length - 2] = Math.ceil(shape.at(-2)! / rowsPerGroup) * rowsPerGroup;
  return byteLengthOf(
    info.dtype,
    padded.reduce((product, length) => product * length, 1),
  );
}

/** Two pieces: one is packed while the next is read. The addon's own, of files with a path, is one, and smaller. */
function loadStagingByteLength(info: TensorInfo, slices?: readonly TensorSlice[]): number {
  const { byteLength } = fileRow(info);
  const numRows = numElementsOf(slicedShape(info, slices).slice(0, -1));
  return Math.min(numRows, 2 * rowsPerPiece(byteLength)) * byteLength;
}

/**
 * Traits of a CPU backend with this many threads; only the workspace of `sample` depends on them.
 * `packedByteLength` throws InvalidTensorError where a row or a slice is no whole number of quantisation blocks, or a slice leaves the
 * tensor.
 */
export function createCpuTraits({ threads }: { readonly threads: number }): BackendTraits {
  return {
    kind: "cpu",
    alignment: 64,
    kvDTypes,
    readsHostMemory: true,
    weightLayout,
    packedByteLength,
    loadStagingByteLength,
    supports: kernelSupport({ isWeight: isWeightDType, kvDTypes }),
    workspaceByteLength({ op, dtype, rows, columns, experts = 0 }: WorkspaceQuery): number {
      if (op === "matmul") return activationBytes(dtype, rows, columns);
      // The rows that each expert has, and the rows sorted by expert.
      if (op === "expertMatmul") return 24 * experts + 4 * rows + activationBytes(dtype, rows, columns);
      // An index and a logit for each entry of the vocabulary and thread.
      return op === "sample" ? threads * columns * 8 : 0;
    },
  };
}
