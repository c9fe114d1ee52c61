/** Blocks of 32 with one scale d (f16), and for the "_1" types a minimum m or sum. Nibble i of a block's 16 bytes is element i (low) or i + 16 (high). */
import { float16Values } from "../float16.js";
import { type BlockDecoder, readI8, readU16, readU32 } from "./block-decoder.js";

/** y = d · (q - 8) */
export const q4_0: BlockDecoder = (bytes, offset, out, at) => {
  const d = float16Values[readU16(bytes, offset)]!;
  for (let i = 0; i < 16; i++) {
    const pair = bytes[offset + 2 + i]!;
    out[at + i] = d * ((pair & 15) - 8);
    out[at + 16 + i] = d * ((pair >> 4) - 8);
  }
};

/** y = d · q + m */
export const q4_1: BlockDecoder = (bytes, offset, out, at) => {
  const d = float16Values[readU16(bytes, offset)]!;
  const m = float16Values[readU16(bytes, offset + 2)]!;
  for (let i = 0; i < 16; i++) {
    const pair = bytes[offset + 4 + i]!;
    out[at + i] = d * (pair & 15) + m;
    out[at + 16 + i] = d * (pair >> 4) + m;
  }
};

/** y = d · (q - 16); bit i of the 32 high bits is the fifth bit of element i. */
export const q5_0: BlockDecoder = (bytes, offset, out, at) => {
  const d = float16Values[readU16(bytes, offset)]!;
  const high = readU32(bytes, offset + 2);
  for (let i = 0; i < 16; i++) {
    const pair = bytes[offset + 6 + i]!;
    out[at + i] = d * (((pair & 15) | (((high >>> i) & 1) << 4)) - 16);
    out[at + 16 + i] = d * (((pair >> 4) | (((high >>> (i + 16)) & 1) << 4)) - 16);
  }
};

/** y = d · q + m, with the high bits of q5_0. */
export const q5_1: BlockDecoder = (bytes, offset, out, at) => {
  const d = float16Values[readU16(bytes, offset)]!;
  const m = float16Values[readU16(bytes, offset + 2)]!;
  const high = readU32(bytes, offset + 4);
  for (let i = 0; i < 16; i++) {
    const pair = bytes[offset + 8 + i]!;
    out[at + i] = d * ((pair & 15) | (((high >>> i) & 1) << 4)) + m;
    out[at + 16 + i] = d * ((pair >> 4) | (((high >>> (i + 16)) & 1) << 4)) + m;
  }
};

const signedBytes =
  (firstByte: number): BlockDecoder =>
  (bytes, offset, out, at) => {
    const d = float16Values[readU16(bytes, offset)]!;
    for (let i = 0; i < 32; i++) out[at + i] = d * readI8(bytes, offset + firstByte + i);
  };

/** y = d · q */
export const q8_0 = signedBytes(2);
/** y = d · q; the second f16 is d · Σq, which only dot products use. */
export const q8_1 = signedBytes(4);
