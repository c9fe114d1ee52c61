import { describe, expect, it } from "vitest";
import { float16Bits, roundToFloat16 } from "../src/op-cases/float16.js";
import { encodeFloat16, float16Values } from "../src/reference/float16.js";

const isNotANumber = (bits: number) => (bits & 0x7c00) === 0x7c00 && (bits & 0x3ff) !== 0;

describe("binary16", () => {
  it("keeps every value that it has, zeros of both signs and infinities among them", () => {
    for (let bits = 0; bits < 0x10000; bits++) {
      if (isNotANumber(bits)) expect(isNotANumber(encodeFloat16(float16Values[bits]!))).toBe(true);
      else if (encodeFloat16(float16Values[bits]!) !== bits)
        expect.fail(`pattern ${bits} came back as ${encodeFloat16(float16Values[bits]!)}`);
    }
  });

  it("rounds what lies between two values to the nearer, and halfway to the even one", () => {
    const nudge = new Float32Array(1);
    const nudgeBits = new Int32Array(nudge.buffer);
    for (let bits = 0; bits < 0x7bff; bits++) {
      nudge[0] = (float16Values[bits]! + float16Values[bits + 1]!) / 2;
      const halfway = nudge[0];
      const even = bits % 2 === 0 ? bits : bits + 1;
      nudgeBits[0]!--;
      const below = nudge[0]!;
      nudgeBits[0]! += 2;
      const above = nudge[0]!;
      const rounded = [below, halfway, above, -halfway].map(encodeFloat16);
      if (rounded.join() !== [bits, even, bits + 1, even | 0x8000].join()) expect.fail(`around ${halfway}: ${rounded}`);
    }
    expect([65519.996, 65520, 1e30].map(encodeFloat16)).toEqual([0x7bff, 0x7c00, 0x7c00]);
  });

  it("is rounded alike by the op cases' own arithmetic", () => {
    for (let index = 0; index < 50_000; index++) {
      const value = Math.fround(Math.sin(index) * 2 ** ((index % 44) - 27));
      if (float16Bits(roundToFloat16(value)) !== encodeFloat16(value)) expect.fail(`${value}`);
    }
  });
});
