/** A model split over devices: rows of the feed-forward, whole layers, attention apart; with cancellations and faults. */
import { cpuBackendAvailability, createCpuBackend } from "@thermocline/cpu-kernels";
import { createReferenceBackend } from "@thermocline/cpu-kernels/reference";
import {
  type Backend,
  DeviceFaultError,
  type DeviceId,
  type IndexRange,
  type ModelSource,
  type PlacedPart,
  type Placement,
  type TokenLogprobs,
} from "@thermocline/spec";
import { describe, expect, it } from "vitest";
import { listOffloadUnits, readModelConfig } from "../src/index.js";
import { complete, createRandom, createTestEngine, greedy, ledgerFor, openEmbeddedModel } from "./support/embedded-model.js";
import { openTinyModel, tinyPrompt } from "./support/tiny-model.js";

type Random = (n: number) => number;

/** Deals the blocks of a unit's rows out to devices; some may get none. */
function dealRows(count: number, blockSize: number, devices: readonly DeviceId[], random: Random): readonly PlacedPart[] {
  const owners = Array.from({ length: count / blockSize }, () => devices[random(devices.length)]!);
  const parts = devices.flatMap((device): PlacedPart[] => {
    const rows: [number, number][] = [];
    owners.forEach((owner, block) => {
      if (owner !== device) return;
      const last = rows.at(-1);
      if (last !== undefined && last[0] + last[1] === block * blockSize) last[1] += blockSize;
      else rows.push([block * blockSize, blockSize]);
    });
    return rows.length === 0 ? [] : [{ device, rows: rows as readonly IndexRange[] }];
  });
  return parts.length === 1 ? [{ device: parts[0]!.device }] : parts;
}

function randomPlacement(source: ModelSource, devices: readonly DeviceId[], random: Random, kept: readonly string[]): Placement {
  const units = listOffloadUnits(source, readModelConfig(source));
  return new Map(
    units.map((unit) => {
      if (kept.includes(unit.id)) return [unit.id, [{ device: devices[0]! }]];
      if (unit.rows === undefined || random(4) === 0) return [unit.id, [{ device: devices[random(devices.length)]! }]];
      const among = random(2) === 0 ? devices : devices.slice(0, 2);
      return [unit.id, dealRows(unit.rows.count, unit.rows.blockSize, among, random)];
    }),
  );
}

interface SplitTest {
  readonly open: () => Promise<ModelSource>;
  readonly prompt: string | readonly number[];
  readonly steps: number;
  /** Cancellations and faults that must have happened, so that the test has shown something. */
  readonly atLeast: number;
  /** Units that stay on the first device: too much work for the oracle. */
  readonly kept: readonly string[];
}
const splitTests: Record<string, SplitTest> = {
  "of random weights": { open: () => openTinyModel(), prompt: tinyPrompt(7, 3), steps: 1000, atLeast: 5, kept: [] },
  "that tells stories": {
    open: openEmbeddedModel,
    prompt: "Once upon a time there was",
    steps: 80,
    atLeast: 1,
    kept: ["head", "embedding"],
  },
};
const logprobsOf = (completion: Awaited<ReturnType<typeof complete>>): readonly TokenLogprobs[] =>
  completion.events.flatMap((event) => (event.type === "text-delta" ? (event.logprobs ?? []) : []));

interface Agreement {
  steps: number;
  nearTies: number;
}

/** Compares step by step up to the first token that differs, which must be a near tie: there the texts part for good. */
function expectAgreement(dense: readonly TokenLogprobs[], split: readonly TokenLogprobs[], agreement: Agreement): void {
  for (let step = 0; step < split.length; step++) {
    const [expected, actual] = [dense[step]!, split[step]!];
    const logprobOf = new Map(actual.top);
    const errors = expected.top.flatMap(([id, logprob]) => (logprobOf.has(id) ? [Math.abs(logprob - logprobOf.get(id)!)] : []));
    expect(errors.length).toBeGreaterThan(1);
    const error = Math.max(...errors);
    // Kernels quantise activations in blocks of 32 to 8 bits: two roundings of the same sums stay this near.
    expect(error).toBeLessThan(0.5);
    agreement.steps++;
    if (actual.tokenId === expected.tokenId) continue;
    expect(expected.top[0]![1] - expected.top[1]![1]).toBeLessThanOrEqual(2 * error);
    agreement.nearTies++;
    return;
  }
}

const native = cpuBackendAvailability();
if (!native.available) console.warn(`split tests run over two reference devices: ${native.reasons.join("; ")}`);

function createDevices(): readonly Backend[] {
  return native.available
    ? [
        createCpuBackend({ id: "cpu:0", threads: 1 }),
        createCpuBackend({ id: "cpu:1", threads: 1 }),
        createReferenceBackend({ id: "reference:0" }),
      ]
    : [createReferenceBackend({ id: "reference:0" }), createReferenceBackend({ id: "reference:1" })];
}

describe.each(Object.keys(splitTests))("a split model %s", (name) => {
  const { open, prompt, steps: wantedSteps, atLeast, kept } = splitTests[name]!;
  const request = { prompt, sampling: greedy, logprobs: 8, maxTokens: 20 } as const;

  it("gives the dense text or a typed error over random plans, cancellations and faults, and keeps no byte", async () => {
    const random = createRandom(20);
    const backends = createDevices();
    const devices = backends.map(({ device }) => device.id);
    const ledger = ledgerFor(...backends);
    await using source = await open();
    let dense: readonly TokenLogprobs[];
    {
      await using engine = await createTestEngine(source, [backends[0]!], { ledger });
      dense = logprobsOf(await complete(engine, request));
    }

    const agreement: Agreement = { steps: 0, nearTies: 0 };
    const seen = { cancelled: 0, faults: 0 };
    let stepMs = 5;
    let steps = 0;
    for (let trial = 0; steps < wantedSteps; trial++) {
      const faultAt = trial % 3 === 1 ? 1 + random(20) : 0;
      const fault = { device: devices[random(devices.length)]!, commandIndex: random(1000) };
      const engine = await createTestEngine(source, backends, {
        ledger,
        placement: randomPlacement(source, devices, random, kept),
        diagnostics: { poisonKvCaches: true, poisonDeadActivations: true, faultOfStep: (step) => (step === faultAt ? fault : undefined) },
      });
      try {
        if (trial % 3 === 2) {
          // Leave in the middle of a step, at any moment of it.
          const controller = new AbortController();
          setTimeout(() => controller.abort(), random(stepMs * 12));
          const aborted = await complete(engine, request, controller.signal);
          expectAgreement(dense, logprobsOf(aborted), agreement);
          if (aborted.end.reason === "abort") seen.cancelled++;
        }
        if (faultAt > 0) {
          const outcome = await complete(engine, request).then(
            () => "completed",
            (error: unknown) => error,
          );
          // A device that the plan gives nothing to has no list, and so no fault.
          if (outcome !== "completed") {
            expect(outcome).toBeInstanceOf(DeviceFaultError);
            expect(outcome).toMatchObject({ code: "device-fault", device: fault.device });
            seen.faults++;
          }
        }
        const whole = await complete(engine, request);
        expectAgreement(dense, logprobsOf(whole), agreement);
        stepMs = Math.ceil(whole.end.usage.decodeMs / 20);
        steps += engine.statistics().steps;
        expect(engine.statistics().awaits).toBe(engine.statistics().steps);
      } finally {
        await engine[Symbol.asyncDispose]();
      }
      expect(ledger.report()).toEqual([]);
      for (const backend of backends) expect(backend.statistics().allocatedBytes).toBe(0);
    }
    for (const backend of backends) await backend[Symbol.asyncDispose]();
    console.log(
      `split: ${steps} steps, ${agreement.steps} compared, ${agreement.nearTies} near ties, ${seen.cancelled} cancelled, ${seen.faults} faults`,
    );
    expect(seen.cancelled).toBeGreaterThanOrEqual(atLeast);
    expect(seen.faults).toBeGreaterThanOrEqual(atLeast);
    // Texts that part at a near tie are not compared any further: most of the steps must have been.
    expect(agreement.steps).toBeGreaterThan(steps / 2);
  }, 180_000);
});
