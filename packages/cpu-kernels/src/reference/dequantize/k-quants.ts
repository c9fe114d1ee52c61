/**
 * Super-blocks of 256 with sub-blocks of 16 or 32, whose scales (and minima) are themselves small integers times an f16.
 *
 * Every product of a scale with its sub-block's scale is exact in f32, and so is its product with q except in q6_k: a formula below
 * rounds once, where it is stored.
 */
import { float16Values } from "../float16.js";
import { type BlockDecoder, readI8, readU16 } from "./block-decoder.js";

/** y = d · s · q - dmin · m; 16 bytes of s | m << 4, 64 bytes of 2-bit q, d, dmin. */
export const q2_k: BlockDecoder = (bytes, offset, out, at) => {
  const d = float16Values[readU16(bytes, offset + 80)]!;
  const dmin = float16Values[readU16(bytes, offset + 82)]!;
  for (let i = 0; i < 256; i++) {
    const scales = bytes[offset + (i >> 4)]!;
    const q = (bytes[offset + 16 + (i >> 7) * 32 + (i & 31)]! >> (((i >> 5) & 3) * 2)) & 3;
    out[at + i] = d * (scales & 15) * q - dmin * (scales >> 4);
  }
};

/** y = d · (s - 32) · (q - 4 where the high bit is clear); 32 bytes of high bits, 64 of 2-bit q, 12 of 6-bit s, d. */
export const q3_k: BlockDecoder = (bytes, offset, out, at) => {
  const d = float16Values[readU16(bytes, offset + 108)]!;
  for (let block = 0; block < 16; block++) {
    const low = (bytes[offset + 96 + (block & 7)]! >> ((block >> 3) * 4)) & 15;
    const high = (bytes[offset + 104 + (block & 3)]! >> ((block >> 2) * 2)) & 3;
    const scale = d * ((low | (high << 4)) - 32);
    for (let i = block * 16; i < block * 16 + 16; i++) {
      const q = (bytes[offset + 32 + (i >> 7) * 32 + (i & 31)]! >> (((i >> 5) & 3) * 2)) & 3;
      const highBit = (bytes[offset + (i & 31)]! >> (i >> 5)) & 1;
      out[at + i] = scale * (q - (highBit ? 0 : 4));
    }
  }
};

/** 6-bit scale of sub-block `block` from 12 bytes: the first four lie in the low bits, the last four's upper two bits above them. */
function packedScale(bytes: Uint8Array, offset: number, block: number): number {
  if (block < 4) return bytes[offset + block]! & 63;
  return (bytes[offset + block + 4]! & 15) | ((bytes[offset + block - 4]! >> 6) << 4);
}

/** The minimum of the same sub-block. */
function packedMinimum(bytes: Uint8Array, offset: number, block: number): number {
  if (block < 4) return bytes[offset + block + 4]! & 63;
  return (bytes[offset + block + 4]! >> 4) | ((bytes[offset + block]! >> 6) << 4);
}

/** y = d · s · q - dmin · m, sub-blocks of 32; d, dmin, 12 bytes of s and m, 128 bytes of nibbles: 32 bytes hold two sub-blocks. */
export const q4_k: BlockDecoder = (bytes, offset, out, at) => {
  const d = float16Values[readU16(bytes, offset)]!;
  const dmin = float16Values[readU16(bytes, offset + 2)]!;
  for (let block = 0; block < 8; block++) {
    const scale = d * packedScale(bytes, offset + 4, block);
    const minimum = dmin * packedMinimum(bytes, offset + 4, block);
    const nibbles = offset + 16 + (block >> 1) * 32;
    const shift = (block & 1) * 4;
    for (let i = 0; i < 32; i++) out[at + block * 32 + i] = scale * ((bytes[nibbles + i]! >> shift) & 15) - minimum;
  }
};

/** As q4_k with a fifth bit: bit `block` of 32 bytes that lie before the nibbles. */
export const q5_k: BlockDecoder = (bytes, offset, out, at) => {
  const d = float16Values[readU16(bytes, offset)]!;
  const dmin = float16Values[readU16(bytes, offset + 2)]!;
  for (let block = 0; block < 8; block++) {
    const scale = d * packedScale(bytes, offset + 4, block);
    const minimum = dmin * packedMinimum(bytes, offset + 4, block);
    const nibbles = offset + 48 + (block >> 1) * 32;
    const shift = (block & 1) * 4;
    for (let i = 0; i < 32; i++) {
      const q = ((bytes[nibbles + i]! >> shift) & 15) | (((bytes[offset + 16 + i]! >> block) & 1) << 4);
      out[at + block * 32 + i] = scale * q - minimum;
    }
  }
};

/** y = (d · s) · (q - 32), sub-blocks of 16 with signed 8-bit s; 128 bytes of nibbles, 64 of 2-bit upper parts, 16 of s, d. */
export const q6_k: BlockDecoder = (bytes, offset, out, at) => {
  const d = float16Values[readU16(bytes, offset + 208)]!;
  for (let i = 0; i < 256; i++) {
    const half = i >> 7;
    const low = (bytes[offset + half * 64 + (i & 63)]! >> (((i >> 6) & 1) * 4)) & 15;
    const high = (bytes[offset + 128 + half * 32 + (i & 31)]! >> (((i >> 5) & 3) * 2)) & 3;
    out[at + i] = d * readI8(bytes, offset + 192 + (i >> 4)) * ((low | (high << 4)) - 32);
  }
};

const single = new Float32Array(1);
const singleBytes = new Uint8Array(single.buffer);

/** y = d · q with an f32 scale and signed 8-bit q; sums of 16 follow, which only dot products use. */
export const q8_k: BlockDecoder = (bytes, offset, out, at) => {
  singleBytes.set(bytes.subarray(offset, offset + 4));
  for (let i = 0; i < 256; i++) out[at + i] = single[0]! * readI8(bytes, offset + 4 + i);
};
