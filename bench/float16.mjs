/** IEEE 754 half precision. */
const float = new Float32Array(1);
const word = new Uint32Array(float.buffer);

/**
 * Bits of the nearest half of a float32, ties to even.
 * @param {number} value
 */
export function float16Bits(value) {
  float[0] = value;
  const sign = (word[0] >>> 16) & 0x8000;
  const magnitude = word[0] & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00;
  // 65520 and more round to infinity.
  if (magnitude >= 0x477ff000) return sign | 0x7c00;
  // From 2^-14: the exponent's bias falls from 127 to 15, the mantissa from 23 bits to 10.
  if (magnitude >= 0x38800000) return sign | ((magnitude - 0x38000000 + 0xfff + ((magnitude >>> 13) & 1)) >>> 13);
  // Subnormal halves are multiples of 2^-24, which is the step of floats from 0.5 to 1: the addition rounds.
  float[0] = Math.abs(value) + 0.5;
  return sign | (word[0] - 0x3f000000);
}

/**
 * @param {Float32Array} values
 * @returns {Uint16Array<ArrayBuffer>}
 */
export function toFloat16(values) {
  const bits = new Uint16Array(values.length);
  for (let index = 0; index < values.length; index++) bits[index] = float16Bits(values[index]);
  return bits;
}

/**
 * The number that the bits of a half stand for.
 * @param {number} bits
 */
export function float16Value(bits) {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >>> 10) & 0x1f;
  const mantissa = bits & 0x3ff;
  if (exponent === 0x1f) return mantissa === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return exponent === 0 ? sign * mantissa * 2 ** -24 : sign * (1 + mantissa / 1024) * 2 ** (exponent - 15);
}
