/** The part of a weight that `load` stores, as rows and columns, and its packed form for the addon. */
import {
  byteLengthOf,
  dtypes,
  type IndexRange,
  InvalidTensorError,
  layoutCodes,
  type TensorInfo,
  type TensorSlice,
  type WeightLayout,
} from "@thermocline/spec";
import { sliceTensor } from "./reference/slices.js";

export interface WeightSlices {
  /** Shape after slicing. */
  readonly shape: readonly number[];
  /** Rows of the file: all axes but the last, flattened. A vector is one row. */
  readonly fileRows: number;
  readonly rowByteLength: number;
  readonly rowRanges: readonly IndexRange[];
  readonly numRows: number;
  /** For the addon: ggml type, layout, elements and bytes of a block, file rows, columns, number of row ranges, row ranges, column ranges. */
  readonly packed: Float64Array;
}

function flattenRows(shape: readonly number[], ranges: readonly (readonly IndexRange[])[]): readonly IndexRange[] {
  let flat: IndexRange[] = [[0, 1]];
  for (let axis = 0; axis < shape.length - 1; axis++) {
    const outer = flat;
    flat = [];
    for (const [firstOuter, numOuter] of outer)
      for (let index = firstOuter; index < firstOuter + numOuter; index++)
        for (const [first, count] of ranges[axis]!) {
          const row = index * shape[axis]! + first;
          const last = flat.at(-1);
          if (last !== undefined && last[0] + last[1] === row) flat[flat.length - 1] = [last[0], last[1] + count];
          else flat.push([row, count]);
        }
  }
  return flat;
}

/** @throws InvalidTensorError where the file's bytes do not fit the shape, or a slice leaves the tensor or cuts a quantisation block. */
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
  const rowRanges = flattenRows(info.shape, ranges).filter(([, count]) => count > 0);
  const columnRanges: readonly IndexRange[] = ranges.at(-1) ?? [[0, 1]];
  const numRows = rowRanges.reduce((sum, [, count]) => sum + count, 0);
  const head = [ggmlType, layoutCodes[layout], blockSize, blockBytes, fileRows, columns, rowRanges.length];
  return {
    shape,
    fileRows,
    rowByteLength,
    rowRanges,
    numRows,
    packed: Float64Array.from([...head, ...rowRanges.flat(), ...columnRanges.flat()]),
  };
}
