/** Random weights of every type in file form, with the exact values that they stand for. */
import { byteLengthOf, type DType, dtypes } from "@thermocline/spec";
import { dequantizeRows } from "../reference/dequantize/index.js";
import type { WeightPlan } from "./op-case.js";
import type { Random } from "./random.js";
import { minimumBounds, randomScales } from "./weight-scales.js";

export interface WeightData extends WeightPlan {
  /** Row-major, of the file's tensor. */
  readonly values: Float64Array;
  /** At least |a| + |b| of each value a + b that a kernel may compute in two parts: scale times quant, and a block's minimum. */
  readonly magnitudes: Float64Array;
}

/** Types that the cases make weights of: all that hold weights. */
export const weightDTypes: readonly DType[] = [
  "f32",
  "f16",
  "bf16",
  ...(Object.keys(randomScales) as DType[]).filter((dtype) => dtypes[dtype].blockSize > 1),
];

/** Normal values in f32, f16 or bf16; otherwise blocks of random quants with scales that give values of about 1. */
export function makeWeight(random: Random, dtype: DType, shape: readonly number[]): WeightData {
  const numElements = shape.reduce((product, length) => product * length, 1);
  const bytes = new Uint8Array(byteLengthOf(dtype, numElements));
  const { blockSize, blockBytes } = dtypes[dtype];
  const minima = new Float64Array(numElements);
  for (let block = 0; block * blockSize < numElements; block++) {
    const view = new DataView(bytes.buffer, block * blockBytes, blockBytes);
    if (blockSize > 1) for (let at = 0; at < blockBytes; at++) view.setUint8(at, random.integer(0, 255));
    randomScales[dtype]!(random, view);
    minima.fill(minimumBounds[dtype]?.(view) ?? 0, block * blockSize, (block + 1) * blockSize);
  }
  const floats = new Float32Array(numElements);
  dequantizeRows(dtype, bytes, floats);
  const values = Float64Array.from(floats);
  return { dtype, shape, bytes, values, magnitudes: values.map((value, index) => Math.abs(value) + 2 * minima[index]!) };
}
