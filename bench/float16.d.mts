export function float16Bits(value: number): number;
export function toFloat16(values: Float32Array): Uint16Array<ArrayBuffer>;
