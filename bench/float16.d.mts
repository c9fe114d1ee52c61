export function float16Bits(value: number): number;
export function toFloat16(values: Float32Array): Uint16Array<ArrayBuffer>;
/** The number that the bits of a half stand for. */
export function float16Value(bits: number): number;
