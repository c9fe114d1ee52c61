import type { TensorSlice } from "@thermocline/spec";

/** The shape that is left of a tensor's. */
export function slicedShape(shape: readonly number[], slices: readonly TensorSlice[]): readonly number[] {
  if (slices.length === 0) return shape;
  return shape.map((size, axis) => {
    const slice = slices.find((candidate) => candidate.axis === axis);
    return slice === undefined ? size : slice.ranges.reduce((sum, [, count]) => sum + count, 0);
  });
}
