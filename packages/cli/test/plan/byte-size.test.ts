import { describe, expect, it } from "vitest";
import { collectClaim, collectDeviceSize, collectPin, duration, wholeNumberOrMax } from "../../src/command-line/option-values.js";
import { parseByteSize, writeByteSize } from "../../src/planning/byte-size.js";

describe("a size", () => {
  it.each([
    ["8GiB", 8 * 2 ** 30],
    ["24GB", 24e9],
    ["512MiB", 512 * 2 ** 20],
    ["1.5 GiB", 1.5 * 2 ** 30],
    ["1.0000000001KiB", 1024],
    ["0B", 0],
    ["7kB", 7000],
    ["7KB", 7000],
    ["2TiB", 2 ** 41],
  ])("%s is read to the byte", (text, bytes) => expect(parseByteSize(text)).toBe(bytes));

  it.each(["8", "8G", "8gib", "8Gb", "-1GiB", "1e3MiB", ".5GiB", "GiB", "", "8GiBs", "0x8GiB", "8iB", "99999999TiB", "8  GiB", "١GiB"])(
    "%j is none",
    (text) => expect(parseByteSize(text)).toBeUndefined(),
  );

  it.each([0, 1, 1023, 2 ** 20, 2 ** 20 + 1, 3 * 2 ** 30, 12345678901, 2 ** 41])(
    "%d is written so that it reads back to no less",
    (bytes) => {
      const read = parseByteSize(writeByteSize(bytes))!;
      expect(read).toBeGreaterThanOrEqual(bytes);
      expect(read - bytes).toBeLessThan(2 ** 20);
    },
  );
});

describe("values of options", () => {
  it("give a device a size, once", () => {
    expect(collectDeviceSize("cpu:0=1GiB", collectDeviceSize("cuda:0=2GiB"))).toEqual({ "cuda:0": 2 ** 31, "cpu:0": 2 ** 30 });
    expect(() => collectDeviceSize("cuda:0=1GiB", { "cuda:0": 1 })).toThrow(/cuda:0 has one already/);
    for (const text of ["cuda:0", "=1GiB", "cuda:0=", "cuda:0=much"]) expect(() => collectDeviceSize(text)).toThrow(/Give /);
  });

  it("pin by a pattern that may hold =", () => {
    expect(collectPin("blk.(?=1).*=cuda:0")).toEqual([{ pattern: "blk.(?=1).*", device: "cuda:0" }]);
    expect(collectPin("head=cpu:0", collectPin("embedding=cpu:0"))).toHaveLength(2);
    expect(() => collectPin("blk.1")).toThrow(/a pattern of units, = and a device/);
  });

  it("claim bytes or a part", () => {
    expect(collectClaim("a=40%", collectClaim("b=1GiB"))).toEqual({ b: { bytes: 2 ** 30 }, a: { fraction: 0.4 } });
    for (const text of ["a=0%", "a=101%", "a=x%", "a=-1GiB", "a"]) expect(() => collectClaim(text)).toThrow();
    expect(() => collectClaim("a=1%", { a: { fraction: 1 } })).toThrow(/has one already/);
  });

  it("are times with a unit, numbers or max", () => {
    expect([duration("2s"), duration("800ms"), duration("1.5 s")]).toEqual([2, 0.8, 1.5]);
    for (const text of ["2", "0s", "-1s", "s", "2min"]) expect(() => duration(text)).toThrow(/a time with its unit/);
    expect([wholeNumberOrMax({ from: 1 })("max"), wholeNumberOrMax({ from: 1 })("7")]).toEqual(["max", 7]);
    expect(() => wholeNumberOrMax({ from: 1 })("most")).toThrow(/whole number from 1/);
  });
});
