import { describe, expect, it } from "vitest";
import {
  formatBytes,
  formatCount,
  formatRate,
  formatSeconds,
  formatShare,
  formatShareRange,
  listOf,
  plural,
} from "../../src/report/quantities.js";

describe("quantities", () => {
  it.each([
    [0, "0 B"],
    [1023, "1023 B"],
    [1024, "1.00 KiB"],
    [10.5 * 2 ** 20, "10.5 MiB"],
    [1023.97 * 2 ** 20, "1.00 GiB"],
    [24 * 2 ** 30, "24.0 GiB"],
    [5000 * 2 ** 40, "5000.0 TiB"],
  ])("writes %d bytes as %s", (bytes, text) => expect(formatBytes(bytes)).toBe(text));

  it.each([
    [2.5, "2.50 s"],
    [0.0125, "12.50 ms"],
    [0.00002, "20.0 us"],
    [0, "0.0 us"],
  ])("writes %d seconds as %s", (seconds, text) => expect(formatSeconds(seconds)).toBe(text));

  it.each([
    [0.517, "0.52"],
    [9.996, "10.0"],
    [23.42, "23.4"],
    [1234.5, "1,235"],
  ])("writes a rate of %d as %s", (rate, text) => expect(formatRate(rate)).toBe(text));

  it("never rounds a share to nothing or to all that is neither", () => {
    expect([0, 0.001, 0.5, 0.999, 1].map(formatShare)).toEqual(["0 %", "<1 %", "50 %", ">99 %", "100 %"]);
    expect(formatShareRange([0.12, 0.38, 0.2])).toBe("12-38 %");
    expect(formatShareRange([0.12])).toBe("12 %");
  });

  it("counts in groups of three, and lists in words", () => {
    expect([7, 1000, 1234567].map(formatCount)).toEqual(["7", "1,000", "1,234,567"]);
    expect([plural(1, "layer"), plural(2000, "layer")]).toEqual(["1 layer", "2,000 layers"]);
    expect([listOf([]), listOf(["a"]), listOf(["a", "b"]), listOf(["a", "b", "c"])]).toEqual(["", "a", "a and b", "a, b and c"]);
  });
});
