/** Quantisation of 32 values to one block of a KV cache, every operation rounded to f32, scales to f16. */
import { encodeFloat16 } from "../float16.js";

/** Writes the block of 32 values. */
export type CacheBlockEncoder = (values: Float32Array, block: Uint8Array) => void;

/** To the nearest whole number, ties to even. */
function roundHalfEven(value: number): number {
  const below = Math.floor(value);
  const rest = value - below;
  return rest > 0.5 || (rest === 0.5 && below % 2 !== 0) ? below + 1 : below;
}

function writeScale(block: Uint8Array, scale: number): void {
  const bits = encodeFloat16(scale);
  block[0] = bits & 255;
  block[1] = bits >> 8;
}

/** 1 / d in f32. 0 where that is no finite number, which makes every quant that of zero. */
function inverseOf(scale: number): number {
  const inverse = Math.fround(1 / scale);
  return Number.isFinite(inverse) ? inverse : 0;
}

/** A block that stands for NaN, because a value is NaN or infinite: scale NaN, quants of zero. */
function writeNotANumber(block: Uint8Array, zero: number): void {
  block.fill(zero);
  block.set([0x00, 0x7e]);
}

/** d = max|x| / 127, q = round(x · (1 / d)); bytes: f16 d, 32 signed q. */
export const encodeQ80Block: CacheBlockEncoder = (values, block) => {
  if (!values.every(Number.isFinite)) return writeNotANumber(block, 0);
  const largest = values.reduce((max, value) => Math.max(max, Math.abs(value)), 0);
  const scale = Math.fround(largest / 127);
  const inverse = inverseOf(scale);
  writeScale(block, scale);
  for (let i = 0; i < 32; i++) block[2 + i] = roundHalfEven(Math.fround(values[i]! * inverse));
};

/** d = m / -8 with m the first x of largest magnitude, q = min(15, round(x · (1 / d)) + 8); bytes: f16 d, then q[i] | q[i + 16] << 4. */
export const encodeQ40Block: CacheBlockEncoder = (values, block) => {
  if (!values.every(Number.isFinite)) return writeNotANumber(block, 0x88);
  const extreme = values.reduce((found, value) => (Math.abs(value) > Math.abs(found) ? value : found));
  const scale = Math.fround(extreme / -8);
  const inverse = inverseOf(scale);
  writeScale(block, scale);
  const quants = Array.from(values, (value) => Math.min(15, roundHalfEven(Math.fround(value * inverse)) + 8));
  for (let i = 0; i < 16; i++) block[2 + i] = quants[i]! | (quants[i + 16]! << 4);
};
