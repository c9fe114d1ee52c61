/** Rates of types that were not measured, from one that was. */
import { byteLengthOf, type DType, dtypes, isWeightDType, type RateByDType } from "@thermocline/spec";

/** What kernels store activations as; no file holds them. */
const activationDTypes: readonly DType[] = ["q8_1", "q8_k"];
/** Types that hold weights, those that files most often hold first. */
const byUse: readonly DType[] = ["q4_0", "q8_0", "q4_k", "q6_k", "f16", "f32", "q5_k", "iq4_xs", "bf16", "q3_k", "iq2_xs", "q2_k", "q5_0"];
export const weightDTypesByUse: readonly DType[] = [
  ...byUse,
  ...(Object.keys(dtypes) as DType[]).filter(
    (dtype) => !byUse.includes(dtype) && isWeightDType(dtype) && !activationDTypes.includes(dtype),
  ),
];

/** Types whose blocks are unpacked alike, the likeliest stand-in first. */
const families: readonly (readonly DType[])[] = [
  ["f16", "bf16", "f32"],
  ["q4_0", "q4_1", "q5_0", "q5_1", "q8_0", "iq4_nl", "mxfp4", "nvfp4"],
  ["q4_k", "q5_k", "q6_k", "q3_k", "q2_k"],
  ["iq2_xs", "iq4_xs", "iq2_xxs", "iq2_s", "iq3_xxs", "iq3_s", "iq1_s", "iq1_m", "tq1_0", "tq2_0"],
];

export type MeasuredRates = ReadonlyMap<DType, number>;

const bytesPerElement = (dtype: DType) => byteLengthOf(dtype, 256) / 256;

/** A measured type of the same family, else the slowest that was measured. */
function standInFor(dtype: DType, measured: MeasuredRates, slowest: DType): DType {
  const family = families.find((members) => members.includes(dtype)) ?? [];
  return family.find((member) => measured.has(member)) ?? slowest;
}

/**
 * Bytes a second. A type that was not measured takes as long an element as its stand-in, since kernels are bound by unpacking more often than
 * by memory; `other` takes as long an element as the slowest type. Nothing is reckoned faster than the memory is.
 */
export function completeByteRates(measured: MeasuredRates, memoryBytesPerSecond: number): RateByDType {
  const elementsPerSecond = (dtype: DType) => measured.get(dtype)! / bytesPerElement(dtype);
  const slowest = [...measured.keys()].reduce((a, b) => (elementsPerSecond(b) < elementsPerSecond(a) ? b : a));
  const rateOf = (dtype: DType) =>
    measured.get(dtype) ?? Math.min(memoryBytesPerSecond, elementsPerSecond(standInFor(dtype, measured, slowest)) * bytesPerElement(dtype));
  const rates = Object.fromEntries(weightDTypesByUse.map((dtype) => [dtype, rateOf(dtype)]));
  return { ...rates, other: Math.min(...Object.values(rates)) };
}

/** Operations a second: a type that was not measured is as fast as its stand-in. */
export function completeOperationRates(measured: MeasuredRates): RateByDType {
  const slowest = [...measured.keys()].reduce((a, b) => (measured.get(b)! < measured.get(a)! ? b : a));
  const rates = Object.fromEntries(
    weightDTypesByUse.map((dtype) => [dtype, measured.get(dtype) ?? measured.get(standInFor(dtype, measured, slowest))!]),
  );
  return { ...rates, other: measured.get(slowest)! };
}
