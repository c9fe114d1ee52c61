/** Every graph with random weights: the kernels against the oracle, on one device and split over two. */
import { cpuBackendAvailability, createCpuBackend, supportedIsas } from "@thermocline/cpu-kernels";
import { createReferenceBackend } from "@thermocline/cpu-kernels/reference";
import type { Backend, ModelSource, PlacedPart, Placement, TokenLogprobs } from "@thermocline/spec";
import { describe, expect, it } from "vitest";
import { type LoadedEngine, listOffloadUnits, placeOnOneDevice, readModelConfig } from "../src/index.js";
import { complete, createTestEngine, greedy } from "./support/embedded-model.js";
import {
  logitGain,
  openRandomModel,
  type RandomModelName,
  type RandomModelOptions,
  randomModelNames,
  randomPrompt,
  routerGain,
  shapeOf,
} from "./support/random-model.js";
import { splitDevices, splitPlacement } from "./support/split-placement.js";

const native = cpuBackendAvailability();
if (!native.available) console.warn(`graphs run on the reference alone: ${native.reasons.join("; ")}`);
const isas = native.available ? supportedIsas() : [];

/** Longer than the sliding windows of the models. */
const promptLength = 40;
const numSteps = 10;
const mixtures = randomModelNames.filter((name) => shapeOf(name).experts !== undefined);
type Precision = NonNullable<RandomModelOptions["dtype"]>;

async function run(
  source: ModelSource,
  backends: readonly Backend[],
  options: { readonly forcedTokenIds?: readonly number[]; readonly placement?: Placement } = {},
): Promise<readonly TokenLogprobs[]> {
  const { forcedTokenIds, placement } = options;
  const diagnostics = { poisonKvCaches: true, poisonDeadActivations: true };
  await using engine = await createTestEngine(source, backends, { ...(placement === undefined ? {} : { placement }), diagnostics });
  expectEveryByteBooked(engine, backends);
  const { events } = await complete(engine, {
    prompt: randomPrompt(promptLength, 7, engine.config.vocabSize),
    sampling: greedy,
    logprobs: 10,
    maxTokens: numSteps,
    ignoreEos: true,
    ...(forcedTokenIds === undefined ? {} : { forcedTokenIds }),
  });
  return events.flatMap((event) => (event.type === "text-delta" ? (event.logprobs ?? []) : []));
}

function expectEveryByteBooked(engine: LoadedEngine, backends: readonly Backend[]): void {
  for (const { device, byteLengthByClass } of engine.memory()) {
    const { weights = 0, "kv-cache": kvCache = 0, activations = 0 } = byteLengthByClass;
    const backend = backends.find((candidate) => candidate.device.id === device)!;
    expect(weights + kvCache + activations).toBe(backend.statistics().allocatedBytes);
  }
}

const exactRuns = new Map<string, Promise<readonly TokenLogprobs[]>>();

/** The oracle's own text on one device, computed once. */
function exactRun(name: RandomModelName, dtype: Precision): Promise<readonly TokenLogprobs[]> {
  const key = `${name} ${dtype}`;
  const compute = async () => {
    await using source = await openRandomModel(name, { dtype });
    await using backend = createReferenceBackend();
    return await run(source, [backend]);
  };
  if (!exactRuns.has(key)) exactRuns.set(key, compute());
  return exactRuns.get(key)!;
}

/** Errors of one product, as shares of its result's deviation, in the root mean square. */
const roundingErrors = {
  /** Beside q8_0 weights activations become 8-bit integers: of 32 normal values the largest is 2.4 deviations, and makes 127 steps. */
  q8_0: 2.4 / (127 * Math.sqrt(12)),
  /** Beside f32 weights only keys and values are rounded, to the 11 bits of f16. */
  f32: 2 ** -11 / Math.sqrt(12),
};

/**
 * How far rounding may move a log-probability: five products follow each other in a layer, and one more makes the logits. Independent errors
 * add in quadrature. The logits' deviation is known from how the models are made, and of a few hundred none is expected beyond five
 * deviations of its error.
 *
 * Of a mixture no router sees 8-bit rounding; three products of the last experts, and the logits, have it. A router passes on what it
 * sees: an error e of its input moves the difference of two logits by √2 · routerGain · e, that moves weight between two experts by at most
 * a quarter of it, and outputs of two experts are √2 deviations apart.
 */
function errorBound(name: RandomModelName, dtype: Precision): number {
  const { numLayers, experts } = shapeOf(name);
  const product = roundingErrors[dtype === "mixed" && experts === undefined ? "q8_0" : "f32"];
  const passedOn = experts === undefined ? 0 : (routerGain / 2) ** 2;
  let variance = 0;
  for (let layer = 0; layer < numLayers; layer++) variance = (variance + 5 * product ** 2) * (1 + passedOn);
  variance += dtype === "mixed" && experts !== undefined ? 4 * roundingErrors.q8_0 ** 2 : product ** 2;
  return 5 * logitGain * Math.sqrt(variance);
}

/** The near-tie rule: where another token than the oracle's is the likeliest, the oracle's margin lies within twice the error bound. */
function expectAgreement(exact: readonly TokenLogprobs[], actual: readonly TokenLogprobs[], bound: number): void {
  expect(actual.length).toBe(exact.length);
  exact.forEach((expected, step) => {
    const logprobOf = new Map(actual[step]!.top);
    const errors = expected.top.flatMap(([id, logprob]) => (logprobOf.has(id) ? [Math.abs(logprobOf.get(id)! - logprob)] : []));
    expect(errors.length).toBeGreaterThan(expected.top.length / 2);
    expect(Math.max(...errors), `step ${step}`).toBeLessThanOrEqual(bound);
    const margin = expected.top[0]![1] - expected.top[1]![1];
    if (actual[step]!.top[0]![0] !== expected.top[0]![0]) expect(margin).toBeLessThanOrEqual(2 * bound);
  });
}

describe.runIf(native.available).each(isas)("random models on %s", (isa) => {
  it.each(randomModelNames)("%s: give the oracle's log-probabilities to rounding", async (name) => {
    for (const dtype of ["mixed", "f32"] as const) {
      const exact = await exactRun(name, dtype);
      await using source = await openRandomModel(name, { dtype });
      await using backend = createCpuBackend({ isa, threads: 1 });
      const actual = await run(source, [backend], { forcedTokenIds: exact.map(({ tokenId }) => tokenId) });
      expectAgreement(exact, actual, errorBound(name, dtype));
    }
  });
});

const [home, other] = splitDevices;
const createDevices = () =>
  splitDevices.map((id) => (native.available ? createCpuBackend({ id, threads: 1 }) : createReferenceBackend({ id })));

describe("random models split over two devices", () => {
  it.each(randomModelNames)("%s: gives the text of one device", async (name) => {
    const dtype = native.available ? "mixed" : "f32";
    const exact = await exactRun(name, dtype);
    await using source = await openRandomModel(name, { dtype });
    const backends = createDevices();
    const actual = await run(source, backends, { forcedTokenIds: exact.map(({ tokenId }) => tokenId), placement: splitPlacement(source) });
    expectAgreement(exact, actual, errorBound(name, dtype));
    for (const backend of backends) await backend[Symbol.asyncDispose]();
  });
});

/** Experts on the device that does not route, on both by turns, and all but one on one. */
const expertPlans: Record<string, (count: number) => readonly PlacedPart[]> = {
  "all apart from the router": () => [{ device: other }],
  "by turns": (count) =>
    [home, other].map((device, first) => ({
      device,
      rows: Array.from({ length: Math.ceil((count - first) / 2) }, (_, index) => [first + 2 * index, 1] as const),
    })),
  "one of them apart": (count) => [
    {
      device: home,
      rows: [
        [0, 3],
        [4, count - 4],
      ],
    },
    { device: other, rows: [[3, 1]] },
  ],
};

describe.each(mixtures)("experts of %s", (name) => {
  it.each(Object.keys(expertPlans))("lie %s and give the text of one device", async (plan) => {
    const exact = await exactRun(name, "f32");
    await using source = await openRandomModel(name, { dtype: "f32" });
    const units = listOffloadUnits(source, readModelConfig(source));
    const placement = new Map(placeOnOneDevice(units, home));
    for (const unit of units) if (unit.kind === "experts") placement.set(unit.id, expertPlans[plan]!(unit.rows!.count));
    const backends = createDevices();
    // Free to choose: the texts agree by themselves.
    const actual = await run(source, backends, { placement });
    expectAgreement(exact, actual, errorBound(name, "f32"));
    expect(backends.map((backend) => backend.statistics().submissions)).toEqual([numSteps, numSteps]);
    for (const backend of backends) await backend[Symbol.asyncDispose]();
  });

  it("that tie in every token are chosen by lowest number, wherever they lie", async () => {
    const { used } = shapeOf(name).experts!;
    // A router with equal rows; the experts that a tie leaves out would make everything NaN.
    const change: RandomModelOptions["change"] = (tensor, bytes) => {
      const values = new Float32Array(bytes.buffer);
      if (tensor.name.includes("ffn_gate_inp")) values.fill(0.25);
      if (tensor.name.includes("_exps")) values.fill(Number.NaN, (values.length / tensor.shape[0]!) * used);
    };
    await using source = await openRandomModel(name, { dtype: "f32", change });
    await using oracle = createReferenceBackend();
    const exact = await run(source, [oracle]);
    const backends = createDevices();
    expectAgreement(exact, await run(source, backends, { placement: splitPlacement(source) }), errorBound(name, "f32"));
    for (const backend of backends) await backend[Symbol.asyncDispose]();
    expect(exact.every(({ top }) => top.every(([, logprob]) => Number.isFinite(logprob)))).toBe(true);
  });
});

describe("longrope", () => {
  it.each([
    [64, "rope_factors_long"],
    [65, "rope_factors_short"],
  ])("in a context of %d tokens does without %s", async (contextLength, unread) => {
    const change: RandomModelOptions["change"] = ({ name }, bytes) => {
      if (name.startsWith(unread)) new Float32Array(bytes.buffer).fill(Number.NaN);
    };
    await using source = await openRandomModel("phi3-longrope", { change });
    await using backend = createReferenceBackend();
    await using engine = await createTestEngine(source, [backend], { contextLength });
    const { events } = await complete(engine, { prompt: randomPrompt(4, 1), sampling: greedy, logprobs: 5, maxTokens: 2 });
    const logprobs = events.flatMap((event) => (event.type === "text-delta" ? (event.logprobs ?? []) : []));
    expect(logprobs.flatMap(({ top }) => top).every(([, logprob]) => Number.isFinite(logprob))).toBe(true);
  });
});
