/** Types whose 4-bit codes name a value in a fixed table: iq4_nl, iq4_xs and the microscaling floats mxfp4 and nvfp4. */
import { float16Values } from "../float16.js";
import { type BlockDecoder, readU16 } from "./block-decoder.js";

/** Values of ggml's iq4_nl table. */
const iq4Values = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];
/** E2M1 of the OCP microscaling formats, doubled to be whole. */
const doubledE2M1 = [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12];

/** `count` bytes give 2 · count elements: the low nibbles first, then the high ones. */
function putNibbles(
  bytes: Uint8Array,
  offset: number,
  count: number,
  values: readonly number[],
  scale: number,
  out: Float32Array,
  at: number,
): void {
  for (let i = 0; i < count; i++) {
    const pair = bytes[offset + i]!;
    out[at + i] = scale * values[pair & 15]!;
    out[at + count + i] = scale * values[pair >> 4]!;
  }
}

/** d, 16 bytes of codes. */
export const iq4_nl: BlockDecoder = (bytes, offset, out, at) =>
  putNibbles(bytes, offset + 2, 16, iq4Values, float16Values[readU16(bytes, offset)]!, out, at);

/** d, a u16 of the upper two bits of eight 6-bit s, 4 bytes of their lower nibbles, 128 bytes of codes; scale = d · (s - 32). */
export const iq4_xs: BlockDecoder = (bytes, offset, out, at) => {
  const d = float16Values[readU16(bytes, offset)]!;
  const upper = readU16(bytes, offset + 2);
  for (let block = 0; block < 8; block++) {
    const low = (bytes[offset + 4 + (block >> 1)]! >> ((block & 1) * 4)) & 15;
    const s = low | (((upper >> (2 * block)) & 3) << 4);
    putNibbles(bytes, offset + 8 + block * 16, 16, iq4Values, d * (s - 32), out, at + block * 32);
  }
};

/** An E8M0 exponent e, 16 bytes of codes; scale = 2^(e - 127), halved for the doubled table. */
export const mxfp4: BlockDecoder = (bytes, offset, out, at) =>
  putNibbles(bytes, offset + 1, 16, doubledE2M1, 2 ** (bytes[offset]! - 128), out, at);

/** Half the value of an unsigned E4M3 byte (bias 7); 0x7f, its NaN, counts as 0. */
function halfOfE4M3(byte: number): number {
  if (byte === 0x7f) return 0;
  const exponent = (byte >> 3) & 15;
  const fraction = byte & 7;
  return exponent === 0 ? fraction * 2 ** -10 : (8 + fraction) * 2 ** (exponent - 11);
}

/** Four E4M3 scales, one for each 16 elements, then 8 bytes of codes for each. */
export const nvfp4: BlockDecoder = (bytes, offset, out, at) => {
  for (let block = 0; block < 4; block++)
    putNibbles(bytes, offset + 4 + block * 8, 8, doubledE2M1, halfOfE4M3(bytes[offset + block]!), out, at + block * 16);
};
