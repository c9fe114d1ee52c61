/** Where the scales of each type lie in a block, and sizes that make weights of about 1 of random quants. */
import type { DType } from "@thermocline/spec";
import { float16Bits, roundToFloat16, valueOfFloat16Bits } from "./float16.js";
import type { Random } from "./random.js";

/** Writes the scales of a block whose quants are random already; the whole of a block of one float. */
type ScaleWriter = (random: Random, block: DataView) => void;

/** A scale of either sign and about `size`, exact in binary16. */
function randomScale(random: Random, size: number): number {
  return roundToFloat16((random.uniform() < 0.5 ? -1 : 1) * size * (0.5 + random.uniform()));
}

/** f16 scales at byte offsets. */
const halves =
  (...sizes: readonly (readonly [offset: number, size: number])[]): ScaleWriter =>
  (random, block) => {
    for (const [offset, size] of sizes) block.setUint16(offset, float16Bits(randomScale(random, size)), true);
  };

export const randomScales: Partial<Record<DType, ScaleWriter>> = {
  f32: (random, block) => block.setFloat32(0, random.normal(), true),
  f16: (random, block) => block.setUint16(0, float16Bits(roundToFloat16(random.normal())), true),
  bf16(random, block) {
    const wide = new DataView(new ArrayBuffer(4));
    wide.setFloat32(0, random.normal());
    block.setUint16(0, wide.getUint16(0), true);
  },
  q4_0: halves([0, 1 / 4]),
  q4_1: halves([0, 1 / 4], [2, 2]),
  q5_0: halves([0, 1 / 8]),
  q5_1: halves([0, 1 / 8], [2, 2]),
  q8_0: halves([0, 1 / 64]),
  q8_1: halves([0, 1 / 64], [2, 1]),
  q2_k: halves([80, 1 / 16], [82, 1 / 8]),
  q3_k: halves([108, 1 / 64]),
  q4_k: halves([0, 1 / 256], [2, 1 / 32]),
  q5_k: halves([0, 1 / 512], [2, 1 / 32]),
  q6_k: halves([208, 1 / 2048]),
  q8_k: (random, block) => block.setFloat32(0, randomScale(random, 1 / 64), true),
  iq1_s: halves([0, 1 / 8]),
  /** A quarter of the f16's bits in the top nibble of each of four words, lowest first. */
  iq1_m(random, block) {
    const bits = float16Bits(randomScale(random, 1 / 8));
    for (let word = 0; word < 4; word++) {
      const at = 48 + 2 * word;
      block.setUint16(at, (block.getUint16(at, true) & 0xfff) | (((bits >> (4 * word)) & 15) << 12), true);
    }
  },
  iq2_xxs: halves([0, 1 / 64]),
  iq2_xs: halves([0, 1 / 64]),
  iq2_s: halves([0, 1 / 64]),
  iq3_xxs: halves([0, 1 / 128]),
  iq3_s: halves([0, 1 / 128]),
  iq4_nl: halves([0, 1 / 64]),
  iq4_xs: halves([0, 1 / 1024]),
  tq1_0: halves([52, 1]),
  tq2_0: halves([64, 1]),
  /** 2^-4 … 2^2. */
  mxfp4: (random, block) => block.setUint8(0, random.integer(123, 129)),
  /** Four E4M3 scales from 2^-3 on, below 2^2. */
  nvfp4(random, block) {
    for (let scale = 0; scale < 4; scale++) block.setUint8(scale, random.integer(0x20, 0x47));
  },
};

const halfAt = (block: DataView, offset: number) => Math.abs(valueOfFloat16Bits(block.getUint16(offset, true)));

/** For types with minima the largest that a block's minimum may be: an f16, or an f16 times a whole number of 4 or 6 bits. */
export const minimumBounds: Partial<Record<DType, (block: DataView) => number>> = {
  q4_1: (block) => halfAt(block, 2),
  q5_1: (block) => halfAt(block, 2),
  q2_k: (block) => 15 * halfAt(block, 82),
  q4_k: (block) => 63 * halfAt(block, 2),
  q5_k: (block) => 63 * halfAt(block, 2),
};
