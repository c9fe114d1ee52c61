/** Which part of a file's tensor a device holds. */
import { byteLengthOf, dtypes, InvalidTensorError, type TensorInfo, type TensorSlice } from "@thermocline/spec";

/** Bytes of one row, the last axis, in the file. @throws InvalidTensorError where the row is no whole number of blocks. */
export function rowByteLength({ name, dtype, shape }: TensorInfo): number {
  const columns = shape.at(-1) ?? 1;
  const { blockSize } = dtypes[dtype];
  if (columns % blockSize !== 0)
    throw new InvalidTensorError(name, `rows of whole ${dtype} blocks of ${blockSize}`, `rows of ${columns} elements`);
  return byteLengthOf(dtype, columns);
}

/**
 * The plain shape of what the slices keep.
 * @throws InvalidTensorError where a slice names no axis or one twice, is not ascending and disjoint, leaves the tensor, or cuts a block.
 */
export function slicedShape({ name, dtype, shape }: TensorInfo, slices: readonly TensorSlice[] = []): readonly number[] {
  const kept = [...shape];
  const axes = new Set<number>();
  for (const slice of slices) {
    const { axis, ranges } = slice;
    const expect = (isTrue: boolean, expected: string) => {
      if (!isTrue) throw new InvalidTensorError(name, expected, `shape [${shape}] in ${dtype}, sliced by ${JSON.stringify(slice)}`);
    };
    expect(Object.hasOwn(shape, axis), `a slice along an axis below ${shape.length}`);
    expect(!axes.has(axis), "at most one slice an axis");
    axes.add(axis);
    const multiple = axis === shape.length - 1 ? dtypes[dtype].blockSize : 1;
    let end = 0;
    for (const [first, count] of ranges) {
      expect(first >= end && count >= 0, "ranges that ascend and do not overlap");
      expect(first % multiple === 0 && count % multiple === 0, `slices of the last axis at whole blocks of ${multiple}`);
      end = first + count;
    }
    expect(end <= shape[axis]!, `ranges within ${shape[axis]} indices`);
    kept[axis] = ranges.reduce((sum, [, count]) => sum + count, 0);
  }
  return kept;
}
