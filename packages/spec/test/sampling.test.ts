import { describe, expect, it } from "vitest";
import { uniformOf } from "../src/index.js";

describe("uniformOf", () => {
  it("is a pure function of seed and draw, in [0, 1) with 24 bits", () => {
    for (let draw = 0; draw < 1000; draw++) {
      const value = uniformOf(42, draw);
      expect(value).toBe(uniformOf(42, draw));
      expect(value >= 0 && value < 1).toBe(true);
      expect(Number.isInteger(value * 2 ** 24)).toBe(true);
      expect(Math.fround(value)).toBe(value);
    }
  });

  it("gives seeds of either sign the meaning of their 32 bits", () => {
    expect(uniformOf(-1, 7)).toBe(uniformOf(0xffffffff, 7));
    expect(uniformOf(-(2 ** 31), -3)).toBe(uniformOf(2 ** 31, 2 ** 32 - 3));
  });

  /** With 32-bit hashes over BigInt, apart from the shifts and multiplications of the original. */
  it("is MurmurHash3's finalizer over seed + 0x9e3779b9, then over that xor draw", () => {
    const mask = 0xffffffffn;
    const finalize = (hash: bigint): bigint => {
      let h = hash;
      for (const [shift, factor] of [
        [16n, 0x85ebca6bn],
        [13n, 0xc2b2ae35n],
        [16n, 1n],
      ] as const)
        h = ((h ^ (h >> shift)) * factor) & mask;
      return h;
    };
    for (const [seed, draw] of [
      [0, 0],
      [1, 0],
      [0, 1],
      [123456789, 987654],
      [0xfffffff0, 5],
    ] as const) {
      const hash = finalize(finalize((BigInt(seed) + 0x9e3779b9n) & mask) ^ BigInt(draw));
      expect(uniformOf(seed, draw)).toBe(Number(hash >> 8n) / 2 ** 24);
    }
  });

  it("draws other numbers in the second stream", () => {
    expect(uniformOf(3, 5, 0)).toBe(uniformOf(3, 5));
    const equal = Array.from({ length: 1000 }, (_, draw) => uniformOf(3, draw) === uniformOf(3, draw, 1)).filter(Boolean);
    expect(equal).toEqual([]);
  });

  it("spreads evenly over draws and over seeds", () => {
    const count = 64_000;
    for (const value of [(index: number) => uniformOf(7, index), (index: number) => uniformOf(index, 7)]) {
      const buckets = new Float64Array(64);
      for (let index = 0; index < count; index++) buckets[Math.floor(value(index) * 64)]!++;
      const expected = count / 64;
      const chiSquare = buckets.reduce((sum, seen) => sum + (seen - expected) ** 2 / expected, 0);
      // 63 degrees of freedom: 120 is exceeded with probability 2e-5; the sequence is fixed, so this is no matter of luck at run time.
      expect(chiSquare).toBeLessThan(120);
      expect(chiSquare).toBeGreaterThan(25);
    }
  });
});
