/** The ledger against the operating system's own count, in a process of its own. */
import { existsSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { canMeasure, type LargeShapeModel, measureInProcess, openLargeShapeModel } from "./large-shape-model.js";

interface MemoryPoint {
  readonly anonymousBytes: number;
  readonly heapTotal: number;
  readonly external: number;
}
interface MemoryGrowth {
  readonly started: MemoryPoint;
  readonly opened: MemoryPoint;
  readonly loaded: MemoryPoint;
  readonly stepped: MemoryPoint;
  readonly unloaded: MemoryPoint;
  readonly numGenerated: number;
  readonly byteLengthByClass: Readonly<Record<string, number>>;
  readonly allocatedBytes: number;
  readonly allocatedBytesAfterUnload: number;
  readonly reservationsAfterUnload: number;
}

const mebibytes = (bytes: number) => `${(bytes / 2 ** 20).toFixed(1)} MiB`;
const countsAnonymousMemory = existsSync("/proc/self/smaps_rollup");
if (!countsAnonymousMemory) console.warn("memory growth: skipped, this system does not count anonymous memory");

describe.runIf(countsAnonymousMemory && canMeasure("memory growth"))("memory that a large model takes", () => {
  let model: LargeShapeModel;
  beforeAll(async () => {
    model = await openLargeShapeModel("memory growth");
  });
  afterAll(() => model[Symbol.dispose]());

  it("is what the ledger says, to 2 % and 8 MiB, after a step at full context", async () => {
    const growth = await measureInProcess<MemoryGrowth>("memory-growth.mjs", [model.path, "256"], ["--expose-gc"]);
    const { started, opened, stepped, unloaded } = growth;
    const ledgerBytes = Object.values(growth.byteLengthByClass).reduce((sum, byteLength) => sum + byteLength, 0);
    const grownBytes = stepped.anonymousBytes - opened.anonymousBytes;
    console.log(
      `ledger ${mebibytes(ledgerBytes)}, anonymous memory grew by ${mebibytes(grownBytes)}; the rest of ${mebibytes(grownBytes - ledgerBytes)}: ` +
        `JavaScript heap ${mebibytes(stepped.heapTotal - opened.heapTotal)}, array buffers ${mebibytes(stepped.external - opened.external)}, ` +
        `native heap after unloading ${mebibytes(unloaded.anonymousBytes - opened.anonymousBytes - (unloaded.heapTotal - opened.heapTotal))}; ` +
        `vocabulary and tokenizer, before: ${mebibytes(opened.anonymousBytes - started.anonymousBytes)}`,
    );
    expect(growth.numGenerated).toBe(2);
    expect(Math.abs(grownBytes - ledgerBytes)).toBeLessThan(0.02 * ledgerBytes + 8 * 2 ** 20);
    // What the backend allocated is booked to the byte; command lists and the shared host memory are no allocations of a backend.
    const { graphs = 0, staging = 0 } = growth.byteLengthByClass;
    expect(growth.allocatedBytes).toBe(ledgerBytes - graphs - staging);
  }, 120_000);

  it("is given back when the model is unloaded", async () => {
    const growth = await measureInProcess<MemoryGrowth>("memory-growth.mjs", [model.path, "64"], ["--expose-gc"]);
    expect(growth.allocatedBytesAfterUnload).toBe(0);
    expect(growth.reservationsAfterUnload).toBe(0);
    expect(growth.unloaded.anonymousBytes - growth.opened.anonymousBytes).toBeLessThan(0.02 * growth.allocatedBytes + 8 * 2 ** 20);
  }, 120_000);
});
