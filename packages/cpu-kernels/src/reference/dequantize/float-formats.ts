/** f32, f16 and bf16, one element a block. */
import { float16Values } from "../float16.js";
import { readU16 } from "./block-decoder.js";

/** Little-endian f32, at any alignment; all JavaScript hosts of today are little-endian. */
export function decodeFloat32(bytes: Uint8Array, out: Float32Array): void {
  new Uint8Array(out.buffer, out.byteOffset, out.byteLength).set(bytes);
}

export function decodeFloat16(bytes: Uint8Array, out: Float32Array): void {
  for (let i = 0; i < out.length; i++) out[i] = float16Values[readU16(bytes, 2 * i)]!;
}

export function decodeBFloat16(bytes: Uint8Array, out: Float32Array): void {
  const bits = new Uint32Array(out.buffer, out.byteOffset, out.length);
  for (let i = 0; i < bits.length; i++) bits[i] = readU16(bytes, 2 * i) << 16;
}
