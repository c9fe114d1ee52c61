import { InsufficientMemoryError, InvalidRequestError } from "@thermocline/spec";
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

  it("refuses impossible requests, and memory that the system does not have", async () => {
    for (const options of [{ threads: 0 }, { threads: 1.5 }, { byteLength: 100 }, { byteLength: 0 }, { durationMs: Number.NaN }])
      await expect(measureReadBandwidth(options)).rejects.toThrow(InvalidRequestError);
    await expect(measureReadBandwidth({ byteLength: 2 ** 52 })).rejects.toThrow(InsufficientMemoryError);
  });
});
