import { InfeasiblePlanError, type OffloadPlan } from "@thermocline/spec";
import { describe, expect, it } from "vitest";
import { budgetCurve } from "../../src/planning/answers/budget-curve.js";
import { chooseQuantisation } from "../../src/planning/answers/choose-quantisation.js";
import { tokensPerSecondOf } from "../../src/planning/answers/device-bytes.js";
import { explainMemory } from "../../src/planning/answers/explain-memory.js";
import { largestContext } from "../../src/planning/answers/largest-context.js";
import { largestKvType } from "../../src/planning/answers/largest-kv-type.js";
import { leastBudget, TargetOutOfReachError } from "../../src/planning/answers/least-budget.js";
import { createPlan } from "../../src/planning/create-plan.js";
import type { PlanRequest } from "../../src/planning/plan-request.js";
import { device, GiB, MiB, machineOf, requestOf, traits } from "./support/table-machine.js";
import { tableModel } from "./support/table-model.js";

const small = { numLayers: 3, numNeurons: 2048 };
const tight = (cpuMiB: number, gpuMiB: number, more: Partial<PlanRequest> = {}) =>
  requestOf(0, small, { budgets: { "cpu:0": { budgetBytes: cpuMiB * MiB }, "cuda:0": { budgetBytes: gpuMiB * MiB } }, ...more });

describe("the largest context", () => {
  it("fits, and one token more does not", async () => {
    // So few choices that even the proof that no more fits takes no time.
    const few = { numLayers: 3, numNeurons: 512 };
    const request = requestOf(0, few, { budgets: { "cpu:0": { budgetBytes: 20 * MiB }, "cuda:0": { budgetBytes: 20 * MiB } } });
    const { contextLength, plan } = await largestContext(request);
    expect(plan.settings!.contextLength).toBe(contextLength);
    expect(contextLength).toBeGreaterThan(256);
    await expect(createPlan({ ...request, settings: { contextLength: contextLength + 1 } })).rejects.toThrow(InfeasiblePlanError);
  });

  it("is the model's where everything fits, and what is missing for the workload where nothing does", async () => {
    expect((await largestContext(requestOf(2000, { ...small, contextLength: 2048 }))).contextLength).toBe(2048);
    await expect(largestContext(tight(10, 10, { workload: { promptTokens: 900, outputTokens: 100 } }))).rejects.toThrow(
      InfeasiblePlanError,
    );
  });
});

describe("the largest KV type", () => {
  it("is the most precise one that fits", async () => {
    const settings = { contextLength: 8192 };
    // Three layers of 8192 tokens: 48 MiB as f16, 25.5 as q8_0, 13.5 as q4_0.
    for (const [cpuMiB, dtype] of [
      [300, "f16"],
      [60, "q8_0"],
      [33, "q4_0"],
    ] as const)
      expect((await largestKvType(tight(cpuMiB, 20, { settings }))).dtype).toBe(dtype);
    await expect(largestKvType(tight(20, 10, { settings }))).rejects.toThrow(InfeasiblePlanError);
  });
});

describe("the curve over sizes", () => {
  it("never falls, says where nothing fits, and ends at the speed of everything on the device", async () => {
    const request = tight(30, 0);
    const sizes = [0, 8, 16, 24, 48, 96, 400].map((size) => size * MiB);
    const points = await budgetCurve(request, "cuda:0", [...sizes].reverse());
    expect(points.map(({ bytes }) => bytes)).toEqual(sizes);
    expect(points[0]!.plan).toBeUndefined();
    const seconds = points.flatMap(({ plan }) => plan?.predicted?.workloadSeconds ?? []);
    expect(seconds).toEqual([...seconds].sort((a, b) => b - a));
    const all = await createPlan(requestOf(400, small));
    expect(points.at(-1)!.tokensPerSecond).toBe(tokensPerSecondOf(all));
    expect(points.at(-1)!.timeToFirstTokenSeconds).toBe(all.predicted!.prefillSeconds);
  });

  it("looks at cards larger than the one that is there", async () => {
    const machine = machineOf(device("cpu:0", 16 * GiB, 40), device("cuda:0", 64 * MiB, 400));
    const request: PlanRequest = { demandModel: tableModel({ numLayers: 8 }), machine, traits, solver: "greedy" };
    const [small, large] = await budgetCurve(request, "cuda:0", [64 * MiB, 2 * GiB]);
    expect(large!.tokensPerSecond).toBeGreaterThan(small!.tokensPerSecond! * 2);
    const budgets = { "cuda:0": { reserveBytes: 100 * MiB } };
    expect((await budgetCurve({ ...request, budgets }, "cuda:0", [50 * MiB]))[0]!.plan!.devices["cuda:0"]).toBeUndefined();
    await expect(budgetCurve(request, "cuda:1", [1])).rejects.toMatchObject({ parameter: "device" });
    await expect(budgetCurve(request, "cuda:0", [-1])).rejects.toMatchObject({ parameter: "bytes" });
  });
});

describe("the least budget", () => {
  it("meets the target, and a 4096th of the whole less does not", async () => {
    const request = requestOf(10, small);
    const slow = tokensPerSecondOf(await createPlan(requestOf(10, small)));
    const fast = tokensPerSecondOf(await createPlan(requestOf(400, small)));
    const minTokensPerSecond = (slow + fast) / 2;
    const found = await leastBudget(request, "cuda:0", { minTokensPerSecond });
    expect(found.tokensPerSecond).toBeGreaterThanOrEqual(minTokensPerSecond);
    const again = await createPlan({ ...request, budgets: { "cuda:0": { budgetBytes: found.bytes } } });
    expect(tokensPerSecondOf(again)).toBe(found.tokensPerSecond);
    const less = await createPlan({ ...request, budgets: { "cuda:0": { budgetBytes: found.bytes - MiB } } });
    expect(tokensPerSecondOf(less)).toBeLessThan(minTokensPerSecond);
  });

  it("counts a size that is too small for what is pinned there as too small", async () => {
    const request = requestOf(10, small, { pins: [{ pattern: ".*attn", device: "cuda:0" }] });
    const { bytes } = await leastBudget(request, "cuda:0", { minTokensPerSecond: 1 });
    // Three attentions of 1.7 MiB with 8 MiB of cache each, and what the device needs beside them.
    expect(bytes).toBeGreaterThan(29 * MiB);
    expect(bytes).toBeLessThan(36 * MiB);
    const [tooSmall] = await budgetCurve(request, "cuda:0", [10 * MiB]);
    expect(tooSmall).toEqual({ bytes: 10 * MiB });
    await expect(budgetCurve({ ...request, pins: [{ pattern: "x", device: "cuda:0" }] }, "cuda:0", [MiB])).rejects.toThrow(
      "matches no unit",
    );
  });

  it("answers for the time to the first token, and says what can be reached where the target cannot", async () => {
    const request = requestOf(10, small);
    const best = (await createPlan(requestOf(400, small))).predicted!.prefillSeconds;
    const found = await leastBudget(request, "cuda:0", { maxTimeToFirstTokenSeconds: best * 1.5 });
    expect(found.timeToFirstTokenSeconds).toBeLessThanOrEqual(best * 1.5);
    const error: unknown = await leastBudget(request, "cuda:0", { minTokensPerSecond: 1e9 }).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(TargetOutOfReachError);
    expect((error as TargetOutOfReachError).reached!.timeToFirstTokenSeconds).toBeCloseTo(best, 9);
    await expect(leastBudget(request, "cuda:0", {})).rejects.toMatchObject({ parameter: "target" });
    await expect(leastBudget(request, "cuda:0", { minTokensPerSecond: -1 })).rejects.toMatchObject({ parameter: "minTokensPerSecond" });
  });
});

describe("the choice of a quantisation", () => {
  const requests = (gpuMiB: number, cpuMiB: number) =>
    (["q4_0", "f16", "q8_0"] as const).map((dtype) =>
      requestOf(0, { ...small, dtype }, { budgets: { "cpu:0": { budgetBytes: cpuMiB * MiB }, "cuda:0": { budgetBytes: gpuMiB * MiB } } }),
    );

  it("takes the most bits that fit and are at least half as fast as the fastest", async () => {
    const { choices, recommended, explanation } = await chooseQuantisation(requests(400, 1000));
    expect(choices.map(({ quantisation }) => quantisation)).toEqual(["f16", "q8_0", "q4_0"]);
    expect(choices.map(({ bitsPerWeight }) => bitsPerWeight)).toEqual([16, 8.5, 4.5]);
    const half = choices[2]!.tokensPerSecond! / 2;
    expect(recommended).toBe(choices.find(({ tokensPerSecond = 0 }) => tokensPerSecond >= half));
    expect(explanation).toContain(`Take ${recommended!.quantisation}`);
  });

  it("leaves out what does not fit, and says so", async () => {
    const { recommended, explanation } = await chooseQuantisation(requests(40, 40));
    expect(recommended!.quantisation).toBe("q4_0");
    expect(explanation).toMatch(/f16 \(16\.0 bits a weight\) does not fit/);
    const none = await chooseQuantisation(requests(5, 5));
    expect(none.recommended).toBeUndefined();
    expect(none.explanation).toBe("None fits, not even q4_0 (4.5 bits a weight).");
    const slow = await chooseQuantisation(requests(40, 40), { minTokensPerSecond: 1e9 });
    expect(slow.recommended).toBeUndefined();
    expect(slow.explanation).toContain("None that fits reaches 1000000000 tok/s");
  });
});

describe("the sentence about memory", () => {
  it("says what most of it is, where that comes from, and what else there is", () => {
    const plan: OffloadPlan = {
      version: 1,
      model: "m",
      devices: { "cuda:0": { backend: "cuda" } },
      units: [0, 1].map((layer) => ({ id: `blk.${layer}.attention`, device: "cuda:0", kvCacheByteLength: 8 * GiB })),
      summary: { name: "m", architecture: "llama", quantisation: "q4_0", numLayers: 2, contextLength: 131_072, weightBytes: 4 * GiB },
      settings: { contextLength: 131_072, maxSequences: 1, kvCacheTokens: 131_072, keyCacheDType: "f16", valueCacheDType: "f16" },
      bytes: { "cuda:0": { "kv-cache": 15 * GiB, weights: 4 * GiB, activations: GiB, reserve: GiB } },
    };
    expect(explainMemory(plan)).toBe(
      "4.5-bit weights, yet 20 GiB: 15 GiB of it (75 %) is KV cache because 131,072 tokens × 120 KiB a token over 2 layers, as f16; a shorter " +
        "context or a smaller KV type lowers it. Beside it: 4 GiB weights, 1 GiB activations.",
    );
  });

  it("is about weights where these are most, and empty for a plan without bytes", async () => {
    const plan = await createPlan(requestOf(400, {}, { settings: { contextLength: 512 } }));
    expect(explainMemory(plan)).toMatch(/^4\.5-bit weights, .* MiB: 76\.5 MiB of it \(\d+ %\) is weights because the file has 76\.5 MiB/);
    const { bytes: _, ...without } = plan;
    expect(explainMemory(without)).toBe("");
  });
});
