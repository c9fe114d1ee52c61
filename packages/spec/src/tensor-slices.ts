/** Which elements of a tensor a device holds. */
import type { IndexRange, TensorSlice } from "./backend.js";
import { byteLengthOf, dtypes } from "./dtype.js";
import { InvalidTensorError } from "./errors.js";
import type { TensorInfo } from "./model-source.js";

export interface SlicedTensor {
  /** Plain shape after slicing. */
  readonly shape: readonly number[];
  /** For each axis the ranges that are kept: one that covers the axis where nothing slices it. */
  readonly ranges: readonly (readonly IndexRange[])[];
}

/**
 * Resolves `slices` against the tensor's shape.
 * @throws InvalidTensorError where a slice names no axis, leaves the tensor, is not ascending and disjoint, or cuts a block of the last axis.
 */
export function sliceTensor(info: TensorInfo, slices: readonly TensorSlice[] = []): SlicedTensor {
  const ranges: (readonly IndexRange[])[] = info.shape.map((length) => [[0, length]]);
  const slicedAxes = new Set<number>();
  for (const slice of slices) {
    const refuse = (expected: string): never => {
      throw new InvalidTensorError(info.name, expected, `shape [${info.shape}] in ${info.dtype}, sliced by ${JSON.stringify(slice)}`);
    };
    if (!(slice.axis in info.shape)) refuse(`a slice along an axis below ${info.shape.length}`);
    if (slicedAxes.has(slice.axis)) refuse("at most one slice an axis");
    slicedAxes.add(slice.axis);
    const isLastAxis = slice.axis === info.shape.length - 1;
    const blockSize = isLastAxis ? dtypes[info.dtype].blockSize : 1;
    let end = 0;
    for (const [first, count] of slice.ranges) {
      if (first % blockSize !== 0 || count % blockSize !== 0) refuse(`slices of the last axis at whole blocks of ${blockSize}`);
      if (!(first >= end && count >= 0)) refuse("ranges that ascend and do not overlap");
      end = first + count;
    }
    if (end > info.shape[slice.axis]!) refuse(`ranges within ${info.shape[slice.axis]} indices`);
    ranges[slice.axis] = slice.ranges;
  }
  const shape = ranges.map((kept) => kept.reduce((sum, [, count]) => sum + count, 0));
  return { shape, ranges };
}

/** The shape of what slices keep of a tensor. @throws InvalidTensorError as `sliceTensor` does. */
export function slicedShape(info: TensorInfo, slices: readonly TensorSlice[] = []): readonly number[] {
  return slices.length === 0 ? info.shape : sliceTensor(info, slices).shape;
}

/** Runs of consecutive file rows that `ranges` keep, in storage order: rows over all axes but the last. None is empty. A vector is one row. */
export function rowRuns(shape: readonly number[], ranges: readonly (readonly IndexRange[])[]): IndexRange[] {
  let runs: IndexRange[] = [[0, 1]];
  for (let axis = 0; axis < shape.length - 1; axis++) {
    const outer = runs;
    runs = [];
    for (const [firstOuter, countOuter] of outer)
      for (let index = firstOuter; index < firstOuter + countOuter; index++)
        for (const [first, count] of ranges[axis]!) {
          const start = index * shape[axis]! + first;
          const last = runs.at(-1);
          if (last !== undefined && last[0] + last[1] === start) runs[runs.length - 1] = [last[0], last[1] + count];
          else if (count > 0) runs.push([start, count]);
        }
  }
  return runs;
}

export function numElementsOf(shape: readonly number[]): number {
  return shape.reduce((product, length) => product * length, 1);
}

/** Elements and bytes of one row, the last axis, as the file stores it. @throws InvalidTensorError where the row is no whole number of blocks. */
export function fileRow(info: TensorInfo): { readonly columns: number; readonly byteLength: number } {
  const columns = info.shape.at(-1) ?? 1;
  const { blockSize } = dtypes[info.dtype];
  if (columns % blockSize !== 0)
    throw new InvalidTensorError(info.name, `rows of whole ${info.dtype} blocks of ${blockSize}`, `rows of ${columns} elements`);
  return { columns, byteLength: byteLengthOf(info.dtype, columns) };
}
