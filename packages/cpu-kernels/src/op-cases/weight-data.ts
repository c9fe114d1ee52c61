/** Random weights in file form, with the exact values that they stand for known from how they were made. */
import { byteLengthOf, type DType, dtypes } from "@thermocline/spec";
import { float16Bits, roundToFloat16 } from "./float16.js";
import type { WeightPlan } from "./op-case.js";
import type { Random } from "./random.js";

export interface WeightData extends WeightPlan {
  /** Row-major, of the file's tensor. */
  readonly values: Float64Array;
}

/** Fills one block's bytes and values. */
type BlockMaker = (random: Random, bytes: DataView, values: Float64Array) => void;

/** A scale of either sign and about `size`, exact in binary16. */
function randomScale(random: Random, bytes: DataView, offset: number, size: number): number {
  const scale = roundToFloat16((random.uniform() < 0.5 ? -1 : 1) * size * (0.5 + random.uniform()));
  bytes.setUint16(offset, float16Bits(scale), true);
  return scale;
}

const blockMakers = {
  f32(random, bytes, values) {
    values[0] = Math.fround(random.normal());
    bytes.setFloat32(0, values[0], true);
  },
  f16(random, bytes, values) {
    values[0] = roundToFloat16(random.normal());
    bytes.setUint16(0, float16Bits(values[0]), true);
  },
  bf16(random, bytes, values) {
    const upper = new DataView(new ArrayBuffer(4));
    upper.setFloat32(0, random.normal());
    upper.setUint16(2, 0);
    values[0] = upper.getFloat32(0);
    bytes.setUint16(0, upper.getUint16(0), true);
  },
  q8_0(random, bytes, values) {
    const scale = randomScale(random, bytes, 0, 1 / 64);
    for (let i = 0; i < 32; i++) {
      const q = random.integer(-128, 127);
      bytes.setInt8(2 + i, q);
      values[i] = scale * q;
    }
  },
  q4_0(random, bytes, values) {
    const scale = randomScale(random, bytes, 0, 1 / 4);
    for (let i = 0; i < 16; i++) {
      const low = random.integer(0, 15);
      const high = random.integer(0, 15);
      bytes.setUint8(2 + i, low | (high << 4));
      values[i] = scale * (low - 8);
      values[i + 16] = scale * (high - 8);
    }
  },
  q4_1(random, bytes, values) {
    const scale = randomScale(random, bytes, 0, 1 / 4);
    const minimum = randomScale(random, bytes, 2, 2);
    for (let i = 0; i < 16; i++) {
      const low = random.integer(0, 15);
      const high = random.integer(0, 15);
      bytes.setUint8(4 + i, low | (high << 4));
      values[i] = Math.fround(scale * low + minimum);
      values[i + 16] = Math.fround(scale * high + minimum);
    }
  },
  q6_k(random, bytes, values) {
    const scale = randomScale(random, bytes, 208, 1 / 2048);
    for (let block = 0; block < 16; block++) bytes.setInt8(192 + block, random.integer(-128, 127));
    for (let i = 0; i < 256; i++) {
      const q = random.integer(0, 63);
      const half = i >> 7;
      const lowAt = half * 64 + (i & 63);
      const highAt = 128 + half * 32 + (i & 31);
      bytes.setUint8(lowAt, bytes.getUint8(lowAt) | ((q & 15) << (((i >> 6) & 1) * 4)));
      bytes.setUint8(highAt, bytes.getUint8(highAt) | ((q >> 4) << (((i >> 5) & 3) * 2)));
      values[i] = Math.fround(scale * bytes.getInt8(192 + (i >> 4)) * (q - 32));
    }
  },
} satisfies Partial<Record<DType, BlockMaker>>;

export type WeightDType = keyof typeof blockMakers;
/** Types that the cases make weights of. */
export const weightDTypes = Object.keys(blockMakers) as readonly WeightDType[];

export function makeWeight(random: Random, dtype: WeightDType, shape: readonly number[]): WeightData {
  const numElements = shape.reduce((product, length) => product * length, 1);
  const bytes = new Uint8Array(byteLengthOf(dtype, numElements));
  const values = new Float64Array(numElements);
  const { blockSize, blockBytes } = dtypes[dtype];
  for (let block = 0; block * blockSize < numElements; block++)
    blockMakers[dtype](
      random,
      new DataView(bytes.buffer, block * blockBytes, blockBytes),
      values.subarray(block * blockSize, (block + 1) * blockSize),
    );
  return { dtype, shape, bytes, values };
}
