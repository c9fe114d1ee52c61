import { cpuBackendAvailability, createCpuBackend } from "@thermocline/cpu-kernels";
import { createReferenceBackend } from "@thermocline/cpu-kernels/reference";
import { type Backend, createMemoryLedger, InsufficientMemoryError, InvalidRequestError, type MachineProfile } from "@thermocline/spec";
import { describe, expect, it } from "vitest";
import { type CalibrationOptions, calibrateBackends } from "../../src/index.js";

const hasAddon = cpuBackendAvailability().available;
if (!hasAddon) console.warn("core: calibration of CPU backends is skipped: the CPU addon does not load");

/** One weight type on each device and no more. */
const brief = { dtypes: ["q4_0", "f32"], timeBudgetMs: 0 } satisfies CalibrationOptions;

const measured = ({ measurements }: MachineProfile, subject: string, quantity: string) =>
  measurements!.find((measurement) => measurement.subject === subject && measurement.quantity === quantity);

describe.runIf(hasAddon)("calibrateBackends on CPU backends", () => {
  it("tells a slowed device from one that is not, side by side, with hand-overs between them", async () => {
    await using fast = createCpuBackend({ id: "cpu:0", threads: 1 });
    await using slow = createCpuBackend({ id: "cpu:1", threads: 1, throttle: 8 });
    const steps: [number, string][] = [];
    const profile = await calibrateBackends([fast, slow], { ...brief, threads: { "cpu:0": 1 }, onProgress: (...step) => steps.push(step) });

    expect(profile.devices.map(({ id, backend, threads }) => [id, backend, threads])).toEqual([
      ["cpu:0", "cpu", 1],
      ["cpu:1", "cpu", undefined],
    ]);
    const [a, b] = profile.devices;
    expect(a!.rates.weightBytesPerSecond.q4_0).toBeGreaterThan(b!.rates.weightBytesPerSecond.q4_0!);
    // Of the fastest samples, which other programs disturbed least: eight times, less what they did to them.
    for (const quantity of ["weightBytesPerSecond.q4_0", "operationsPerSecond.q4_0", "attentionOperationsPerSecond"])
      expect(measured(profile, "cpu:0", quantity)!.most / measured(profile, "cpu:1", quantity)!.most).toBeGreaterThan(2);
    expect(profile.links.map(({ from, to }) => `${from} ${to}`)).toEqual(["cpu:0 cpu:1", "cpu:1 cpu:0"]);

    expect(steps.at(-1)).toEqual([1, "done"]);
    expect(steps.every(([fraction], index) => fraction >= (steps[index - 1]?.[0] ?? 0))).toBe(true);
  });

  it("keeps each figure's median, least and most, and derives types for which there was no time", async () => {
    await using cpu = createCpuBackend();
    const told = { median: 1, least: 1, most: 1, numSamples: 3 };
    const profile = await calibrateBackends([cpu], { ...brief, memoryBandwidth: async () => told });
    expect(measured(profile, "cpu:0", "memoryBytesPerSecond")).toMatchObject({ value: 1, numSamples: 3 });
    for (const { value, least, most, numSamples } of profile.measurements!) {
      expect(least).toBeGreaterThan(0);
      expect(value).toBeGreaterThanOrEqual(least);
      expect(value).toBeLessThanOrEqual(most);
      expect(numSamples).toBeGreaterThanOrEqual(3);
    }
    const { rates, memoryBytesPerSecond } = profile.devices[0]!;
    expect(measured(profile, "cpu:0", "weightBytesPerSecond.q4_0")!.value).toBe(rates.weightBytesPerSecond.q4_0);
    expect(measured(profile, "cpu:0", "weightBytesPerSecond.q8_0")).toBeUndefined();
    // As long an element: 8.5 bits against 4.5.
    const q8 = rates.weightBytesPerSecond.q8_0!;
    expect(q8).toBeCloseTo(Math.min(memoryBytesPerSecond, (rates.weightBytesPerSecond.q4_0! * 34) / 18), 0);
    // What was told is less than what a kernel reached.
    expect(memoryBytesPerSecond).toBeGreaterThanOrEqual(rates.kvBytesPerSecond);
    for (const rate of Object.values(rates.weightBytesPerSecond)) expect(rate).toBeLessThanOrEqual(memoryBytesPerSecond);
  });

  it("leaves nothing allocated or reserved, also where it is aborted", async () => {
    await using cpu = createCpuBackend();
    const ledger = createMemoryLedger({ "cpu:0": 2 ** 30 });
    const controller = new AbortController();
    const abortInWeights = (_: number, what: string) => {
      if (what.includes("q4_0")) setTimeout(() => controller.abort(new Error("enough")), 30);
    };
    const calibration = calibrateBackends([cpu], { ...brief, ledger, signal: controller.signal, onProgress: abortInWeights });
    await expect(calibration).rejects.toThrow("enough");
    expect(ledger.report()).toEqual([]);
    expect(cpu.statistics().allocatedBytes).toBe(0);
  });

  it("asks the ledger before it allocates", async () => {
    await using cpu = createCpuBackend();
    const ledger = createMemoryLedger({ "cpu:0": 2 ** 20 });
    await expect(calibrateBackends([cpu], { ...brief, ledger })).rejects.toThrow(InsufficientMemoryError);
    expect(ledger.report()).toEqual([]);
    expect(cpu.statistics().allocatedBytes).toBe(0);
  });
});

describe("calibrateBackends", () => {
  it("measures the reference backend by smaller sizes", async () => {
    await using reference = createReferenceBackend();
    const { devices } = await calibrateBackends([reference], brief);
    expect(devices[0]).toMatchObject({ id: "reference:0", backend: "reference", kind: "cpu" });
  });

  it("refuses no device at all, two of one id, and types that a device does not multiply with", async () => {
    await using reference = createReferenceBackend();
    const calls: [readonly Backend[], CalibrationOptions][] = [
      [[], {}],
      [[reference, reference], {}],
      [[reference], { dtypes: ["i32"] }],
    ];
    for (const [backends, options] of calls) await expect(calibrateBackends(backends, options)).rejects.toThrow(InvalidRequestError);
  });
});
