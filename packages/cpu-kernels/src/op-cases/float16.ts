/** binary16 by arithmetic, apart from every backend's bit patterns. */

const double = new Float64Array(1);
const doubleWords = new Uint32Array(double.buffer);

/** e with 2^e <= magnitude < 2^(e + 1), for magnitudes from 2^-1022 on. */
function exponentOf(magnitude: number): number {
  double[0] = magnitude;
  return (doubleWords[1]! >>> 20) - 1023;
}

/** Unit in the last place of binary16 at a magnitude. */
function spacingOf(magnitude: number): number {
  return 2 ** (Math.max(-14, exponentOf(magnitude)) - 10);
}

/** Nearest binary16 value, ties to even; 65,520 and more become infinite. */
export function roundToFloat16(value: number): number {
  if (!Number.isFinite(value) || value === 0) return value;
  const spacing = spacingOf(Math.abs(value));
  const units = value / spacing;
  const below = Math.floor(units);
  const nearest = units - below === 0.5 ? below + (Math.abs(below) % 2) : Math.round(units);
  const rounded = nearest * spacing;
  if (Math.abs(rounded) >= 65536) return Math.sign(value) * Number.POSITIVE_INFINITY;
  return rounded === 0 ? value * 0 : rounded;
}

/** Bits of a value that binary16 holds exactly; NaN becomes the quiet one. */
export function float16Bits(value: number): number {
  if (Number.isNaN(value)) return 0x7e00;
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0;
  const magnitude = Math.abs(value);
  if (magnitude === Number.POSITIVE_INFINITY) return sign | 0x7c00;
  if (magnitude < 2 ** -14) return sign | (magnitude * 2 ** 24);
  const exponent = exponentOf(magnitude);
  return sign | ((exponent + 15) << 10) | (magnitude / 2 ** (exponent - 10) - 1024);
}

/** The value of a pattern that is neither infinite nor NaN. */
export function valueOfFloat16Bits(bits: number): number {
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  const magnitude = exponent === 0 ? fraction * 2 ** -24 : (1024 + fraction) * 2 ** (exponent - 25);
  return bits & 0x8000 ? -magnitude : magnitude;
}
