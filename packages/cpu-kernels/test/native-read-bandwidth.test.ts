import { createMemoryLedger, InsufficientMemoryError, InvalidRequestError } from "@thermocline/spec";
import { describe, expect, it } from "vitest";
import { measureReadBandwidth } from "../src/index.js";
import { hasAddon } from "./native-fixture.js";

describe.runIf(hasAddon)("the read bandwidth of memory", () => {
  it.each([1, 2, 3])(
    "is measured on %i threads in three passes at least, the best of which is no slower than the middle one",
    async (threads) => {
      const byteLength = 4 * 2 ** 20 + 64;
      const measured = await measureReadBandwidth({ threads, byteLength, durationMs: 0 });
      expect(measured).toMatchObject({ threads, byteLength, numPasses: 3 });
      expect(measured.medianBytesPerSecond).toBeGreaterThan(0);
      expect(measured.bytesPerSecond).toBeGreaterThanOrEqual(measured.medianBytesPerSecond);
    },
  );

  it("goes on for the duration that was asked for, off the JavaScript thread", async () => {
    let turns = 0;
    const timer = setInterval(() => turns++, 1);
    const begin = performance.now();
    const { numPasses } = await measureReadBandwidth({ threads: 1, byteLength: 2 ** 20, durationMs: 60 });
    clearInterval(timer);
    expect(performance.now() - begin).toBeGreaterThanOrEqual(59);
    expect(numPasses).toBeGreaterThan(3);
    expect(turns).toBeGreaterThan(2);
  });

  it("refuses impossible requests, and more memory than the system has left, which it might hand out", async () => {
    for (const options of [{ threads: 0 }, { threads: 1.5 }, { byteLength: 100 }, { byteLength: 0 }, { durationMs: Number.NaN }])
      await expect(measureReadBandwidth(options)).rejects.toThrow(InvalidRequestError);
    const beyond = Math.ceil((process.availableMemory() + 2 ** 33) / 64) * 64;
    for (const byteLength of [beyond, 2 ** 52]) await expect(measureReadBandwidth({ byteLength })).rejects.toThrow(InsufficientMemoryError);
  });

  it("takes its memory from a ledger that it is given, for as long as it reads, or refuses", async () => {
    const options = { threads: 1, byteLength: 2 ** 20, durationMs: 20, device: "cpu:7" };
    const ledger = createMemoryLedger({ "cpu:7": 2 ** 20 });
    const measuring = measureReadBandwidth({ ...options, ledger });
    expect(ledger.report().map(({ device, byteLength }) => [device, byteLength])).toEqual([["cpu:7", 2 ** 20]]);
    await expect(measureReadBandwidth({ ...options, ledger })).rejects.toThrow(InsufficientMemoryError);
    await measuring;
    expect(ledger.report()).toEqual([]);
  });

  it("can be measured twice at the same time", async () => {
    const options = { threads: 2, byteLength: 2 ** 20, durationMs: 5 };
    const both = await Promise.all([measureReadBandwidth(options), measureReadBandwidth(options)]);
    for (const { numPasses } of both) expect(numPasses).toBeGreaterThanOrEqual(3);
  });
});
