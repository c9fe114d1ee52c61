/** The part of a weight that `load` stores, as rows and columns, and its packed form for the addon. */
import {
  byteLengthOf,
  dtypes,
  type IndexRange,
  InvalidTensorError,
  layoutCodes,
  rowRuns,
  sliceTensor,
  type TensorInfo,
  type TensorSlice,
  type WeightLayout,
} from "@thermocline/spec";
import { rowsPerGroup } from "./traits.js";

/**
 * File bytes that are held at once: the rows of a packed group are read together, and memory for them lies beside every budget. Rows of
 * 4 MiB, a million columns in f32, are far beyond any model's matrices. `max_staging_bytes` of csrc is the same.
 */
const maxStagingBytes = 64 << 20;

export interface WeightSlices {
  /** Shape after slicing. */
  readonly shape: readonly number[];
  /** Rows of the file: all axes but the last, flattened. A vector is one row. */
  readonly fileRows: number;
  readonly rowByteLength: number;
  readonly rowRanges: readonly IndexRange[];
  readonly numRows: number;
  /** Selected rows of each matrix of a list, which is packed by itself; 0: the weight is one matrix. */
  readonly matrixRows: number;
  /** For the addon: ggml type, layout, elements and bytes of a block, file rows, columns, rows of each matrix, number of row
   *  ranges, row ranges, column ranges. */
  readonly packed: Float64Array;
}

/**
 * @throws InvalidTensorError where the file's bytes do not fit the shape, rows are too long to be read a group at a time, or a slice
 * leaves the tensor or cuts a quantisation block.
 */
export function weightSlicesOf(info: TensorInfo, layout: WeightLayout, slices?: readonly TensorSlice[]): WeightSlices {
  const { ggmlType, blockSize, blockBytes } = dtypes[info.dtype];
  const { shape, ranges } = sliceTensor(info, slices);
  const columns = info.shape.at(-1) ?? 1;
  if (columns % blockSize !== 0)
    throw new InvalidTensorError(info.name, `rows of whole ${info.dtype} blocks of ${blockSize}`, `rows of ${columns} elements`);
  const fileRows = info.shape.slice(0, -1).reduce((product, length) => product * length, 1);
  const rowByteLength = byteLengthOf(info.dtype, columns);
  if (info.range.byteLength !== fileRows * rowByteLength)
    throw new InvalidTensorError(
      info.name,
      `${fileRows * rowByteLength} bytes for [${info.shape}] in ${info.dtype}`,
      `${info.range.byteLength} bytes`,
    );
  const maxRowBytes = maxStagingBytes / (layout === "packed" ? Math.max(1, Math.min(fileRows, rowsPerGroup)) : 1);
  if (rowByteLength > maxRowBytes)
    throw new InvalidTensorError(
      info.name,
      `rows of at most ${Math.floor(maxRowBytes)} bytes, of which ${maxStagingBytes} are read at once`,
      `rows of ${columns} elements in ${info.dtype}, ${rowByteLength} bytes`,
    );
  const rowRanges = rowRuns(info.shape, ranges);
  const columnRanges: readonly IndexRange[] = ranges.at(-1) ?? [[0, 1]];
  const numRows = rowRanges.reduce((sum, [, count]) => sum + count, 0);
  const matrixRows = layout === "packed" && shape.length === 3 ? shape[1]! : 0;
  const head = [ggmlType, layoutCodes[layout], blockSize, blockBytes, fileRows, columns, matrixRows, rowRanges.length];
  return {
    shape,
    fileRows,
    rowByteLength,
    rowRanges,
    numRows,
    matrixRows,
    packed: Float64Array.from([...head, ...rowRanges.flat(), ...columnRanges.flat()]),
  };
}
