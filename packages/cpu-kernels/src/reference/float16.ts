/** IEEE 754 binary16 and bfloat16 as 16-bit patterns. */

const single = new Float32Array(1);
const singleBits = new Uint32Array(single.buffer);

function decode(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 31) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  return sign * (1024 + fraction) * 2 ** (exponent - 25);
}

/** The value of each of the 65,536 patterns. */
export const float16Values = Float32Array.from({ length: 0x10000 }, (_, bits) => decode(bits));

/** Rounds to the nearest binary16, ties to even; what is too large becomes infinite. `value` is rounded to f32 first. */
export function encodeFloat16(value: number): number {
  single[0] = value;
  const bits = singleBits[0]!;
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00;
  if (magnitude >= 0x47800000) return sign | 0x7c00;
  if (magnitude < 0x38800000) {
    // Below 2^-14 the result counts units of 2^-24.
    const counted = Math.fround(Math.abs(single[0]!) * 2 ** 24);
    return sign | roundHalfEven(counted);
  }
  const rounded = magnitude + 0xfff + ((magnitude >>> 13) & 1);
  return sign | ((rounded - 0x38000000) >>> 13);
}

function roundHalfEven(value: number): number {
  const floor = Math.floor(value);
  const rest = value - floor;
  return rest > 0.5 || (rest === 0.5 && floor % 2 === 1) ? floor + 1 : floor;
}
