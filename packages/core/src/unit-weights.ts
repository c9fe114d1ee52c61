import type { DType, TensorInfo, UnitWeights } from "@thermocline/spec";

/** File bytes of a unit's tensors by type: read at every step, or only where a token wants them. */
export function weightsByDType(tensors: readonly TensorInfo[], isConditional: boolean): readonly UnitWeights[] {
  const byteLengths = new Map<DType, number>();
  for (const { dtype, range } of tensors) byteLengths.set(dtype, (byteLengths.get(dtype) ?? 0) + range.byteLength);
  return [...byteLengths].map(([dtype, byteLength]) => ({
    dtype,
    alwaysBytes: isConditional ? 0 : byteLength,
    conditionalBytes: isConditional ? byteLength : 0,
  }));
}
