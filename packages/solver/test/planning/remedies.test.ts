import { InfeasiblePlanError, type PlanRemedy } from "@thermocline/spec";
import { describe, expect, it } from "vitest";
import { applyRemedy } from "../../src/planning/apply-remedy.js";
import { createPlan } from "../../src/planning/create-plan.js";
import type { PlanRequest } from "../../src/planning/plan-request.js";
import { device, MiB, machineOf, requestOf, traits } from "./support/table-machine.js";
import { tableModel } from "./support/table-model.js";

/** 16.6 MiB of weights, 6 KiB of f16 cache a token, and beside units 4.5 MiB a device for 256 tokens a step. */
const small = { numLayers: 3, numNeurons: 512 };

/** Devices so small that not everything fits. */
function tightRequest(cpuMiB: number, gpuMiB: number, more: Partial<PlanRequest> = {}): PlanRequest {
  return requestOf(0, small, { budgets: { "cpu:0": { budgetBytes: cpuMiB * MiB }, "cuda:0": { budgetBytes: gpuMiB * MiB } }, ...more });
}

async function refusalOf(request: PlanRequest): Promise<InfeasiblePlanError> {
  const error: unknown = await createPlan(request).catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(InfeasiblePlanError);
  return error as InfeasiblePlanError;
}

async function retry(request: PlanRequest, { remedy }: InfeasiblePlanError) {
  expect(remedy).toBeDefined();
  return createPlan(applyRemedy(request, remedy!));
}

describe("what does not fit", () => {
  it("is refused with the longest context that fits, which fits, while one token more does not", async () => {
    const request = tightRequest(20, 20, { settings: { contextLength: 8192 } });
    const error = await refusalOf(request);
    const contextLength = error.remedy!.settings!.contextLength!;
    expect(error.message).toContain(`lower contextLength to ${contextLength}`);
    expect(Object.keys(error.missingBytes).length).toBeGreaterThan(0);
    expect((await retry(request, error)).settings!.contextLength).toBe(contextLength);
    await refusalOf({ ...request, settings: { contextLength: contextLength + 1 } });
  });

  it("is refused with a smaller KV type where the workload needs the context", async () => {
    const workload = { promptTokens: 4000, outputTokens: 96 };
    const request = tightRequest(18, 18, { workload });
    const error = await refusalOf(request);
    expect(error.remedy).toEqual({ settings: { keyCacheDType: "q4_0", valueCacheDType: "q4_0" } });
    expect(error.cure).toBe("set keyCacheDType and valueCacheDType to q4_0");
    await retry(request, error);
    const wider = tightRequest(25, 20, { workload });
    expect((await refusalOf(wider)).remedy).toEqual({ settings: { keyCacheDType: "q8_0", valueCacheDType: "q8_0" } });
  });

  it("is refused with a smaller chunk, then with fewer sequences, where nothing before helps", async () => {
    const settings = { keyCacheDType: "q4_0", valueCacheDType: "q4_0", contextLength: 256 } as const;
    const chunk = tightRequest(40, 40, { settings: { ...settings, maxBatchTokens: 2048 } });
    const ofChunk = await refusalOf(chunk);
    expect(Object.keys(ofChunk.remedy!.settings!)).toEqual(["maxBatchTokens"]);
    await retry(chunk, ofChunk);
    const many = tightRequest(20, 15, { settings: { ...settings, maxBatchTokens: 16, maxSequences: 64 } });
    const ofMany = await refusalOf(many);
    expect(Object.keys(ofMany.remedy!.settings!)).toEqual(["maxSequences"]);
    await retry(many, ofMany);
  });

  it("is refused with the budget that is enough, and then with the memory", async () => {
    const settings = { keyCacheDType: "q4_0", valueCacheDType: "q4_0", contextLength: 256, maxBatchTokens: 16 } as const;
    const request = tightRequest(10, 5, { settings });
    const error = await refusalOf(request);
    const [[id, bytes]] = Object.entries(error.remedy!.budgetBytes!) as [[string, number]];
    expect(error.cure).toBe(`raise the budget of ${id} to ${bytes} bytes`);
    const { budgetBytes = 0 } = request.budgets![id]!;
    // To a hundredth of what it lacks.
    expect(bytes).toBeLessThanOrEqual(budgetBytes + error.missingBytes[id]! * 1.01);
    await retry(request, error);
    const machine = machineOf(device("cpu:0", 10 * MiB, 40), device("cuda:0", 5 * MiB, 400));
    const budgets = { "cpu:0": { reserveBytes: 0 }, "cuda:0": { reserveBytes: 0 } };
    const memory: PlanRequest = { demandModel: tableModel(small), machine, traits, settings, budgets, solver: "greedy" };
    const ofMemory = await refusalOf(memory);
    expect(Object.keys(ofMemory.remedy!)).toEqual(["memoryBytes"]);
    await retry(memory, ofMemory);
  });

  it("has a cure that succeeds when it is tried, whatever was asked", async () => {
    const kinds = new Set<keyof PlanRemedy>();
    for (const cpuMiB of [4, 20])
      for (const gpuMiB of [0, 12])
        for (const settings of [{ contextLength: 16_384 }, { maxSequences: 8 }, { maxBatchTokens: 4096, contextLength: 256 }]) {
          const request = tightRequest(cpuMiB, gpuMiB, { settings });
          const error: unknown = await createPlan(request).catch((reason: unknown) => reason);
          if (!(error instanceof InfeasiblePlanError)) continue;
          for (const member of Object.keys(error.remedy!)) kinds.add(member as keyof PlanRemedy);
          await retry(request, error);
        }
    expect(kinds).toEqual(new Set(["settings", "budgetBytes"]));
  });

  it("is not searched on when somebody stops it, who has his turn between what is tried", async () => {
    const controller = new AbortController();
    const onProgress: PlanRequest["onProgress"] = ({ phase }) => {
      if (phase === "remedy") setTimeout(() => controller.abort(new Error("enough")), 0);
    };
    const request = tightRequest(4, 0, { settings: { contextLength: 16_384 }, signal: controller.signal, onProgress });
    await expect(createPlan(request)).rejects.toThrow("enough");
  });

  it("is also refused for a strategy, with what makes that strategy fit", async () => {
    const request = tightRequest(1000, 20, { strategy: "autosplit" });
    const error = await refusalOf(request);
    expect(error.missingBytes["cuda:0"]).toBeGreaterThan(0);
    const plan = await retry(request, error);
    expect(Object.keys(plan.devices)).toEqual(["cuda:0"]);
  });
});
