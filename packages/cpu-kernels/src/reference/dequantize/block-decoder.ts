/** Turns one block at `bytes[offset]` into floats at `out[at]`. */
export type BlockDecoder = (bytes: Uint8Array, offset: number, out: Float32Array, at: number) => void;

/** Little-endian. */
export function readU16(bytes: Uint8Array, offset: number): number {
  return bytes[offset]! | (bytes[offset + 1]! << 8);
}

/** Little-endian, unsigned. */
export function readU32(bytes: Uint8Array, offset: number): number {
  return (readU16(bytes, offset) | (readU16(bytes, offset + 2) << 16)) >>> 0;
}

/** The byte as a two's complement number. */
export function readI8(bytes: Uint8Array, offset: number): number {
  return (bytes[offset]! << 24) >> 24;
}
