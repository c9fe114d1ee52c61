/** Ternary types: y = d · t with t in {-1, 0, 1}. */
import { float16Values } from "../float16.js";
import { type BlockDecoder, readU16 } from "./block-decoder.js";

const powersOf3 = [1, 3, 9, 27, 81];

/** Digit `place` of a byte that holds base-3 digits as a fraction of 256, most significant first. */
function digit(byte: number, place: number): number {
  return ((((byte * powersOf3[place]!) & 255) * 3) >> 8) - 1;
}

/** Groups of `width` bytes: digit n of byte i is element n · width + i. */
function putDigits(bytes: Uint8Array, offset: number, width: number, places: number, d: number, out: Float32Array, at: number): void {
  for (let place = 0; place < places; place++)
    for (let i = 0; i < width; i++) out[at + place * width + i] = d * digit(bytes[offset + i]!, place);
}

/** 32 and 16 bytes of five digits, 4 bytes of four, d. */
export const tq1_0: BlockDecoder = (bytes, offset, out, at) => {
  const d = float16Values[readU16(bytes, offset + 52)]!;
  putDigits(bytes, offset, 32, 5, d, out, at);
  putDigits(bytes, offset + 32, 16, 5, d, out, at + 160);
  putDigits(bytes, offset + 48, 4, 4, d, out, at + 240);
};

/** 64 bytes of 2-bit codes t + 1, in two groups of 32 bytes, d. */
export const tq2_0: BlockDecoder = (bytes, offset, out, at) => {
  const d = float16Values[readU16(bytes, offset + 64)]!;
  for (let i = 0; i < 256; i++) {
    const code = (bytes[offset + (i >> 7) * 32 + (i & 31)]! >> (((i >> 5) & 3) * 2)) & 3;
    out[at + i] = d * (code - 1);
  }
};
