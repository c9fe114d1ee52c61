import type { OffloadPlan } from "@thermocline/spec";
import { describe, expect, it } from "vitest";
import { validatePlan } from "../../src/plan/resolve-plan.js";
import { createPlan, createRankedPlans } from "../../src/planning/create-plan.js";
import { preparePlan } from "../../src/planning/plan-context.js";
import type { PlanRequest } from "../../src/planning/plan-request.js";
import { device, GiB, MiB, machineOf, requestOf, traits } from "./support/table-machine.js";
import { type ModelTable, tableModel } from "./support/table-model.js";

const dense: ModelTable = {};
const hot: ModelTable = {
  numLayers: 4,
  numNeurons: 2048,
  hiddenSize: 2048,
  activationFrequencies: Array.from({ length: 2048 }, (_, neuron) => 1 / (1 + ((neuron >> 5) % 17))),
};
const experts: ModelTable = { numLayers: 5, experts: { count: 16, used: 2, numNeurons: 512 } };

/** What the engine will reserve of each device, from the model and the plan alone. */
function reservedBytes(request: PlanRequest, plan: OffloadPlan): Map<string, number> {
  const { demandDevices } = preparePlan(request);
  const placement = new Map<string, { device: string; rows?: readonly (readonly [number, number])[] }[]>();
  for (const { id, device: home, rows } of plan.units)
    placement.set(id, [...(placement.get(id) ?? []), { device: home, ...(rows && { rows }) }]);
  const totals = new Map<string, number>();
  for (const { device: home, byteLength } of request.demandModel.bytesOf(demandDevices, plan.settings!, placement))
    totals.set(home, (totals.get(home) ?? 0) + byteLength);
  return totals;
}

describe("a plan", () => {
  const cells = [dense, hot, experts].flatMap((table) => [12, 40, 90].map((gpuMiB) => ({ table, gpuMiB })));

  it("keeps every device within its budget, to the byte that the engine will reserve, and names every unit", async () => {
    for (const { table, gpuMiB } of cells) {
      const request = requestOf(gpuMiB, table);
      const plan = await createPlan(request);
      const units = preparePlan(request).demand.units;
      validatePlan(plan, { model: request.demandModel.model.identity, units, devices: ["cpu:0", "cuda:0"] });
      const reserved = reservedBytes(request, plan);
      for (const [id, classes] of Object.entries(plan.bytes!)) {
        const stated = Object.values(classes).reduce((sum, bytes) => sum + bytes, 0);
        expect(stated).toBe(reserved.get(id));
        const { budgetBytes = 0, reserveBytes = 0 } = plan.devices[id]!;
        expect(stated).toBeLessThanOrEqual(budgetBytes - reserveBytes);
        const ofUnits = plan.units.reduce((sum, unit) => sum + (unit.device === id ? unit.byteLength! : 0), 0);
        expect(ofUnits).toBe((classes.weights ?? 0) + (classes["kv-cache"] ?? 0));
      }
      expect(new Set(plan.units.map(({ id }) => id)).size).toBe(units.length);
      for (const unit of plan.units) {
        expect(unit.reason).not.toBe("");
        expect(unit.predictedSeconds).toBeGreaterThan(0);
      }
    }
  });

  it("takes at most the seconds of every strategy that fits, whatever the workload", async () => {
    const workloads = [
      {},
      { promptTokens: 4000, outputTokens: 10 },
      { promptTokens: 16, outputTokens: 64, contextDepth: 3900 },
      { batch: 4 },
    ];
    for (const { table, gpuMiB } of cells) {
      for (const workload of gpuMiB === 40 ? workloads : []) {
        const request = requestOf(gpuMiB, table, { workload });
        const others = await createRankedPlans(request);
        const plan = await createPlan(request);
        for (const other of others) expect(plan.predicted!.workloadSeconds).toBeLessThanOrEqual(other.predicted!.workloadSeconds!);
      }
    }
  });

  it("is never slower with more memory, beyond the gap that it states", async () => {
    const table = { numLayers: 4, numNeurons: 1024 };
    let before = Number.POSITIVE_INFINITY;
    for (let gpuMiB = 8; gpuMiB <= 80; gpuMiB += 6) {
      const { predicted, solver } = await createPlan(requestOf(gpuMiB, table));
      // No placement within more memory takes less than the bound, and what was found with less is one of them.
      expect(predicted!.workloadSeconds! * (1 - solver!.gap)).toBeLessThanOrEqual(before * (1 + 1e-9));
      before = predicted!.workloadSeconds!;
    }
  });

  it("shows itself and its rivals side by side at three depths, prefill and decode apart", async () => {
    const { comparison } = await createPlan(requestOf(110));
    const strategies = [...new Set(comparison!.map(({ strategy }) => strategy))];
    expect(strategies).toEqual(["plan", "one-device", "whole-layer", "ffn-first"]);
    for (const strategy of strategies) {
      const rows = comparison!.filter((row) => row.strategy === strategy);
      expect(rows.map(({ contextDepth }) => contextDepth)).toEqual([128, 4096, 32_768]);
      // A deeper context is more to read for every token.
      expect(rows[0]!.decodeTokensPerSecond).toBeGreaterThan(rows[2]!.decodeTokensPerSecond);
      expect(rows[0]!.prefillTokensPerSecond).toBeGreaterThan(rows[2]!.prefillTokensPerSecond);
    }
  });

  it("puts a model that fits on the fastest device there whole, and says that nothing is faster", async () => {
    const plan = await createPlan(requestOf(400));
    expect(Object.keys(plan.devices)).toEqual(["cuda:0"]);
    expect(new Set(plan.units.map(({ reason }) => reason))).toEqual(new Set(["everything fits on cuda:0, and nothing is faster"]));
    expect(plan.solver!.status).toBe("optimal");
  });

  it("puts hot neurons on the fast device and says so", async () => {
    const plan = await createPlan(requestOf(40, hot));
    const split = plan.units.filter(({ rows, device: home }) => rows !== undefined && home === "cuda:0");
    expect(split.length).toBeGreaterThan(0);
    for (const { id, activationFrequency, reason } of split) {
      const colder = plan.units.find((unit) => unit.id === id && unit.device === "cpu:0")!;
      expect(activationFrequency).toBeGreaterThan(colder.activationFrequency!);
      expect(reason).toBe("hottest neurons that fit");
      expect(colder.reason).toBe("colder neurons; no room left on cuda:0");
    }
  });

  it("gives units the room that no activation needs", async () => {
    // Without neurons on it the GPU's arena is 4 MiB smaller than the bound; pinning these away leaves room for another attention.
    const pins = [{ pattern: "blk\\.\\d+\\.ffn|embedding|head", device: "cpu:0" }];
    const attentionBytes = (1024 * 3072 * 18) / 32 + 4096 * 2 * 512 * 2;
    const streamBytes = 4 * 256 * 1024 * 4 + 4096;
    const budgetBytes = 3 * attentionBytes + streamBytes;
    const plan = await createPlan(requestOf(0, dense, { pins, budgets: { "cuda:0": { budgetBytes } } }));
    expect(plan.units.filter(({ id, device: home }) => id.endsWith("attention") && home === "cuda:0")).toHaveLength(3);
  });

  it("states model, machine, settings, workload and solver", async () => {
    const request = requestOf(60, { estimates: ["activations are an upper bound"] });
    const plan = await createPlan(request);
    expect(plan.model).toBe(request.demandModel.model.identity);
    expect(plan.summary).toMatchObject({ name: "table model", quantisation: "q4_0", numLayers: 8 });
    expect(plan.machine).toEqual({ name: "table machine", source: "round figures" });
    expect(plan.settings).toMatchObject({ contextLength: 4096, maxBatchTokens: 256, maxSequences: 1, kvCacheTokens: 4096 });
    expect(plan.workload).toEqual({ promptTokens: 512, outputTokens: 256, contextDepth: 0, batch: 1 });
    expect(plan.estimates).toEqual(["activations are an upper bound"]);
    expect(plan.solver!.version).toMatch(/^\d+\.\d+\.\d+/);
    expect(plan.solver!.boundSeconds).toBeLessThanOrEqual(plan.predicted!.workloadSeconds!);
  });

  it("keeps to reserves, on a GPU 512 MiB or a sixteenth and on the host a GiB or a tenth where none is given", async () => {
    const machine = machineOf(device("cpu:0", 16 * GiB, 40), device("cuda:0", 1 * GiB, 400));
    const request: PlanRequest = { demandModel: tableModel({ numLayers: 60 }), machine, traits, solver: "greedy" };
    const plan = await createPlan(request);
    expect(plan.devices["cuda:0"]).toMatchObject({ budgetBytes: GiB, reserveBytes: 64 * MiB });
    expect(plan.devices["cpu:0"]).toMatchObject({ budgetBytes: 16 * GiB, reserveBytes: Math.ceil(1.6 * GiB) });
    const free = GiB - Object.values(plan.bytes!["cuda:0"]!).reduce((sum, bytes) => sum + bytes, 0);
    expect(free).toBeGreaterThanOrEqual(64 * MiB);
    const given = await createPlan({ ...request, budgets: { "cuda:0": { budgetBytes: 512 * MiB, reserveBytes: 100 * MiB } } });
    expect(Object.values(given.bytes!["cuda:0"]!).reduce((sum, bytes) => sum + bytes, 0)).toBeLessThanOrEqual(412 * MiB);
  });

  it("counts what a GPU's runtime takes before any model", async () => {
    const machine = machineOf(device("cpu:0", 16 * GiB, 40), device("cuda:0", 8 * GiB, 400, 300 * MiB));
    const request = requestOf(340, {}, { machine });
    const plan = await createPlan(request);
    expect(plan.bytes!["cuda:0"]!.context).toBe(300 * MiB);
    expect(reservedBytes(request, plan).get("cuda:0")).toBeLessThanOrEqual(340 * MiB);
  });

  it("keeps host devices that share one memory within it together", async () => {
    // 2 GiB, of which one stays free; the model takes about 1.2 GiB in all, some of it on the GPU.
    const machine = machineOf(device("cpu:0", 2 * GiB, 40), device("cpu:1", 2 * GiB, 39), device("cuda:0", 512 * MiB, 400));
    const demandModel = tableModel({ numLayers: 70 });
    const plan = await createPlan({ demandModel, machine, traits, solver: "greedy" });
    const onHost = ["cpu:0", "cpu:1"].flatMap((id) => Object.values(plan.bytes![id] ?? {})).reduce((sum, bytes) => sum + bytes, 0);
    expect(onHost).toBeGreaterThan(0.5 * GiB);
    expect(onHost).toBeLessThanOrEqual(GiB);
  });

  it("makes room for the batch and the context that the workload needs where no setting says otherwise", async () => {
    const batched = await createPlan(requestOf(200, {}, { workload: { batch: 4 } }));
    expect(batched.settings!.maxSequences).toBe(4);
    const long = await createPlan(requestOf(200, {}, { workload: { promptTokens: 6000, outputTokens: 100 } }));
    expect(long.settings!.contextLength).toBe(6100);
    const short = await createPlan(requestOf(200, {}, { settings: { contextLength: 300 } }));
    expect(short.workload).toEqual({ promptTokens: 200, outputTokens: 100, contextDepth: 0, batch: 1 });
  });

  it("is the same plan when it is asked for again", async () => {
    const [one, other] = [await createPlan(requestOf(60, hot)), await createPlan(requestOf(60, hot))];
    expect(other).toEqual(one);
  });

  it("is solved exactly where that is asked for, and then never takes longer", async () => {
    const small = { numLayers: 2, numNeurons: 1024 };
    const greedy = await createPlan(requestOf(13, small));
    const exact = await createPlan(requestOf(13, small, { solver: "exact" }));
    expect(exact.predicted!.workloadSeconds).toBeLessThanOrEqual(greedy.predicted!.workloadSeconds!);
    expect(exact.solver!.gap).toBeLessThanOrEqual(1e-3);
    expect(exact.solver!.note).toBeUndefined();
    const auto = await createPlan(requestOf(13, small, { solver: "auto" }));
    expect(auto.predicted!.workloadSeconds).toBeLessThanOrEqual(greedy.predicted!.workloadSeconds!);
  });

  it("is abandoned when its signal aborts", async () => {
    const controller = new AbortController();
    const onProgress = () => controller.abort(new Error("enough"));
    await expect(createPlan(requestOf(60, {}, { signal: controller.signal, onProgress }))).rejects.toThrow("enough");
  });
});

describe("ranked plans", () => {
  it("are different placements, fastest first, each of which fits", async () => {
    const request = requestOf(60, experts);
    const plans = await createRankedPlans(request);
    expect(plans.length).toBeGreaterThan(2);
    const seconds = plans.map(({ predicted }) => predicted!.workloadSeconds!);
    expect(seconds).toEqual([...seconds].sort((a, b) => a - b));
    expect(new Set(plans.map(({ units }) => JSON.stringify(units.map(({ id, device: home, rows }) => [id, home, rows])))).size).toBe(
      plans.length,
    );
    for (const plan of plans)
      for (const bytes of reservedBytes(request, plan).entries())
        expect(bytes[1]).toBeLessThanOrEqual(plan.devices[bytes[0]]!.budgetBytes!);
  });
});
