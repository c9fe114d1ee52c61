import { describe, expect, it } from "vitest";
import { float16Bits } from "../float16.mjs";

/** The value of a half's bits. */
function halfValue(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const mantissa = bits & 1023;
  if (exponent === 31) return mantissa === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return sign * (exponent === 0 ? mantissa * 2 ** -24 : (1 + mantissa / 1024) * 2 ** (exponent - 15));
}

describe("rounding to half precision", () => {
  it("keeps every half as it is", () => {
    for (let bits = 0; bits < 0x10000; bits++) {
      const value = halfValue(bits);
      if (Number.isNaN(value)) expect(halfValue(float16Bits(value))).toBeNaN();
      else if (float16Bits(value) !== bits) expect.unreachable(`${bits} became ${float16Bits(value)}`);
    }
  });

  it("takes the nearer neighbour, and the even one from the middle", () => {
    for (let bits = 0; bits < 0x7bff; bits++) {
      const [low, high] = [halfValue(bits), halfValue(bits + 1)];
      const middle = (low + high) / 2;
      // The floats next to the middle: a quarter of the way is always exact.
      const found = [float16Bits((low + middle) / 2), float16Bits(middle), float16Bits((middle + high) / 2)];
      const even = bits % 2 === 0 ? bits : bits + 1;
      if (found[0] !== bits || found[1] !== even || found[2] !== bits + 1) expect.unreachable(`between ${low} and ${high}: ${found}`);
    }
  });

  it("rounds what is too large to infinity and what is too small to zero", () => {
    expect(float16Bits(65519)).toBe(0x7bff);
    expect(float16Bits(65520)).toBe(0x7c00);
    expect(float16Bits(-1e30)).toBe(0xfc00);
    expect(float16Bits(2 ** -25)).toBe(0);
    expect(float16Bits(-(2 ** -26))).toBe(0x8000);
  });
});
