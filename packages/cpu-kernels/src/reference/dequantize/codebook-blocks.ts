/** The iq1, iq2 and iq3 types: blocks of 256 whose elements are points of a codebook, signs and a 3- or 4-bit scale for 16 or 32 of them. */
import { float16Values } from "../float16.js";
import { type BlockDecoder, readU16, readU32 } from "./block-decoder.js";
import { type Codebook, codebooks, evenSigns } from "./codebook.js";

/** y = scale · point, negated where the element's bit in `signs` is set. */
function putPoint(out: Float32Array, at: number, scale: number, codebook: Codebook, first: number, count: number, signs: number): void {
  for (let i = 0; i < count; i++) {
    const value = scale * codebook[first + i]!;
    out[at + i] = (signs >> i) & 1 ? -value : value;
  }
}

/** d, then for each 32: four point indices, and a u32 of four 7-bit sign codes and a 4-bit s; scale = d · (s + ½) / 4. */
export const iq2_xxs: BlockDecoder = (bytes, offset, out, at) => {
  const d = float16Values[readU16(bytes, offset)]!;
  const codebook = codebooks.iq2_xxs();
  for (let block = 0; block < 8; block++) {
    const indices = offset + 2 + block * 8;
    const signsAndScale = readU32(bytes, indices + 4);
    const scale = d * (0.5 + (signsAndScale >>> 28)) * 0.25;
    for (let j = 0; j < 4; j++) {
      const signs = evenSigns[(signsAndScale >>> (7 * j)) & 127]!;
      putPoint(out, at + block * 32 + j * 8, scale, codebook, bytes[indices + j]! * 8, 8, signs);
    }
  }
};

/** d, 32 u16 of a 9-bit point index and a 7-bit sign code, then a 4-bit s for each 16; scale as iq2_xxs. */
export const iq2_xs: BlockDecoder = (bytes, offset, out, at) => {
  const d = float16Values[readU16(bytes, offset)]!;
  const codebook = codebooks.iq2_xs();
  for (let j = 0; j < 32; j++) {
    const indexAndSigns = readU16(bytes, offset + 2 + j * 2);
    const s = (bytes[offset + 66 + (j >> 2)]! >> (((j >> 1) & 1) * 4)) & 15;
    putPoint(out, at + j * 8, d * (0.5 + s) * 0.25, codebook, (indexAndSigns & 511) * 8, 8, evenSigns[indexAndSigns >> 9]!);
  }
};

/** d, 32 low bytes of 10-bit point indices, 32 bytes of signs, 8 bytes of the indices' upper bits, then s as iq2_xs. */
export const iq2_s: BlockDecoder = (bytes, offset, out, at) => {
  const d = float16Values[readU16(bytes, offset)]!;
  const codebook = codebooks.iq2_s();
  for (let j = 0; j < 32; j++) {
    const upper = (bytes[offset + 66 + (j >> 2)]! >> ((j & 3) * 2)) & 3;
    const index = bytes[offset + 2 + j]! | (upper << 8);
    const s = (bytes[offset + 74 + (j >> 2)]! >> (((j >> 1) & 1) * 4)) & 15;
    putPoint(out, at + j * 8, d * (0.5 + s) * 0.25, codebook, index * 8, 8, bytes[offset + 34 + j]!);
  }
};

/** d, 64 point indices of 4 elements, then for each 32 a u32 of four 7-bit sign codes and a 4-bit s; scale = d · (s + ½) / 2. */
export const iq3_xxs: BlockDecoder = (bytes, offset, out, at) => {
  const d = float16Values[readU16(bytes, offset)]!;
  const codebook = codebooks.iq3_xxs();
  for (let j = 0; j < 64; j++) {
    const signsAndScale = readU32(bytes, offset + 66 + (j >> 3) * 4);
    const scale = d * (0.5 + (signsAndScale >>> 28)) * 0.5;
    const signs = evenSigns[(signsAndScale >>> (7 * ((j >> 1) & 3))) & 127]! >> ((j & 1) * 4);
    putPoint(out, at + j * 4, scale, codebook, bytes[offset + 2 + j]! * 4, 4, signs);
  }
};

/** d, 64 low bytes of 9-bit point indices, 8 bytes of their upper bits, 32 of signs, a 4-bit s for each 32; scale = d · (1 + 2s). */
export const iq3_s: BlockDecoder = (bytes, offset, out, at) => {
  const d = float16Values[readU16(bytes, offset)]!;
  const codebook = codebooks.iq3_s();
  for (let j = 0; j < 64; j++) {
    const upper = (bytes[offset + 66 + (j >> 3)]! >> (j & 7)) & 1;
    const index = bytes[offset + 2 + j]! | (upper << 8);
    const s = (bytes[offset + 106 + (j >> 4)]! >> (((j >> 3) & 1) * 4)) & 15;
    const signs = bytes[offset + 74 + (j >> 1)]! >> ((j & 1) * 4);
    putPoint(out, at + j * 4, d * (1 + 2 * s), codebook, index * 4, 4, signs);
  }
};

/** y = scale · (point ± ⅛) */
function putShiftedPoint(out: Float32Array, at: number, scale: number, index: number, negativeShift: boolean): void {
  const codebook = codebooks.iq1_s();
  const shift = negativeShift ? -0.125 : 0.125;
  for (let i = 0; i < 8; i++) out[at + i] = scale * (codebook[index * 8 + i]! + shift);
}

/** d, 32 low bytes of 11-bit point indices, then for each 32 a u16: four 3-bit upper parts, a 3-bit s, the shift's sign; scale = d · (2s + 1). */
export const iq1_s: BlockDecoder = (bytes, offset, out, at) => {
  const d = float16Values[readU16(bytes, offset)]!;
  for (let j = 0; j < 32; j++) {
    const word = readU16(bytes, offset + 34 + (j >> 2) * 2);
    const index = bytes[offset + 2 + j]! | (((word >> (3 * (j & 3))) & 7) << 8);
    putShiftedPoint(out, at + j * 8, d * (2 * ((word >> 12) & 7) + 1), index, (word & 0x8000) !== 0);
  }
};

/**
 * 32 low bytes of 11-bit point indices, 32 nibbles of three upper bits and the shift's sign, then four u16: each holds four 3-bit s, one
 * for 16 elements, and in its top nibble a quarter of the f16 d, lowest first.
 */
export const iq1_m: BlockDecoder = (bytes, offset, out, at) => {
  let dBits = 0;
  for (let j = 0; j < 4; j++) dBits |= (bytes[offset + 49 + j * 2]! >> 4) << (4 * j);
  const d = float16Values[dBits]!;
  for (let j = 0; j < 32; j++) {
    const nibble = bytes[offset + 32 + (j >> 1)]! >> ((j & 1) * 4);
    const s = (readU16(bytes, offset + 48 + (j >> 3) * 2) >> (3 * ((j >> 1) & 3))) & 7;
    putShiftedPoint(out, at + j * 8, d * (2 * s + 1), bytes[offset + j]! | ((nibble & 7) << 8), (nibble & 8) !== 0);
  }
};
