import type { OffloadPlan, OffloadProblem, OffloadSolution } from "@thermocline/spec";
import { afterEach, describe, expect, it, vi } from "vitest";
import { solveExact } from "../src/exact/solve-exact.js";
import { solveGreedy } from "../src/greedy/solve-greedy.js";
import { resolvePlan } from "../src/plan/resolve-plan.js";
import { predictTimes, predictUnitSeconds } from "../src/pricing/predict-times.js";
import { createRandom } from "./brute-force/random-numbers.js";
import { randomProblem } from "./brute-force/random-problem.js";

type Found = Extract<OffloadSolution, { readonly placement: unknown }>;
const seeds = Array.from({ length: 60 }, (_, index) => 5000 + index);

function bytesOn(problem: OffloadProblem, { placement }: Found, device: string): number {
  const { units } = problem.devices.find(({ id }) => id === device)!;
  let sum = 0;
  for (const unit of problem.units) {
    for (const part of placement.get(unit.id)!.filter((entry) => entry.device === device)) {
      const bytes = units[unit.id]!;
      if (part.rows === undefined) sum += bytes.weightBytes + bytes.kvCacheBytes;
      else {
        const { blockSize } = unit.rows!;
        const numBlocks = part.rows.reduce((count, [, length]) => count + Math.ceil(length / blockSize), 0);
        sum += bytes.part!.fixedBytes + numBlocks * bytes.part!.bytesPerBlock;
      }
    }
  }
  return sum;
}

/** A layered problem of the usual shape whose groups have frequencies of their own, too large to be looked through. */
function layeredProblem(numLayers: number, gpuShare: number, seed: number): OffloadProblem {
  const random = createRandom(seed);
  const base = randomProblem(seed);
  const units: OffloadProblem["units"][number][] = [];
  const bytesOf = new Map<string, number>();
  const add = (unit: OffloadProblem["units"][number], bytes: number) => {
    units.push(unit);
    bytesOf.set(unit.id, bytes);
  };
  const weights = (bytes: number, isConditional = false) => [
    { dtype: "q4_0" as const, alwaysBytes: isConditional ? 0 : bytes, conditionalBytes: isConditional ? bytes : 0 },
  ];
  const common = { activationFrequency: 1, numCommands: 6 };
  add(
    { id: "embedding", kind: "embedding", layer: -1, tensors: ["e"], weights: weights(2e7, true), ...common, activationFrequency: 1e-4 },
    2e7,
  );
  for (let layer = 0; layer < numLayers; layer++) {
    add({ id: `blk.${layer}.attention`, kind: "attention", layer, tensors: ["a"], weights: weights(1e7), ...common }, 1e7);
    const activationFrequencies = Array.from({ length: 2048 }, () => random() ** 3);
    const rows = { count: 2048, blockSize: 1, activationFrequencies };
    add(
      { id: `blk.${layer}.feed-forward`, kind: "feed-forward", layer, tensors: ["f"], weights: weights(4e7, true), ...common, rows },
      4e7,
    );
  }
  add({ id: "head", kind: "head", layer: -1, tensors: ["h"], weights: weights(2e7), ...common }, 2e7);
  const total = [...bytesOf.values()].reduce((sum, bytes) => sum + bytes, 0);
  const devices = base.devices.slice(0, 2).map((device, index) => ({
    ...device,
    budgetBytes: Math.floor(total * (index === 0 ? 1.2 : gpuShare)),
    units: Object.fromEntries(
      units.map(({ id, rows }) => {
        const weightBytes = bytesOf.get(id)!;
        const part = rows === undefined ? {} : { part: { fixedBytes: 1024, bytesPerBlock: weightBytes / rows.count } };
        return [id, { weightBytes, kvCacheBytes: 0, kvBytesPerToken: 0, ...part }];
      }),
    ),
  }));
  return { ...base, units, devices, allowedDevices: {}, neuronsPerGroup: 64, maxBatchTokens: 512 };
}

describe.each([
  ["greedy", solveGreedy],
  ["exact", solveExact],
] as const)("%s", (name, solve) => {
  it("keeps to budgets, pins and whole blocks, and gives each row one home", async () => {
    const problems = [...seeds.map(randomProblem), ...[1, 2, 3].map((seed) => layeredProblem(6, 0.4, seed))];
    for (const [index, problem] of problems.entries()) {
      const solution = await solve(problem);
      if (solution.status === "infeasible") continue;
      for (const { id, budgetBytes } of problem.devices)
        expect(bytesOn(problem, solution, id), `${index} ${id}`).toBeLessThanOrEqual(budgetBytes);
      const plan: OffloadPlan = {
        version: 1,
        model: "m",
        devices: Object.fromEntries(problem.devices.map(({ id }) => [id, { backend: "cpu" }])),
        units: [...solution.placement].flatMap(([id, parts]) => parts.map((part) => ({ id, ...part }))),
      };
      expect(resolvePlan(plan, { model: "m", units: problem.units })).toEqual(solution.placement);
      for (const [id, parts] of solution.placement) {
        for (const { device } of parts) expect(problem.allowedDevices[id] ?? [device], `pin of ${id}`).toContain(device);
      }
      expect(solution.boundSeconds).toBeLessThanOrEqual(solution.predicted.workloadSeconds);
      expect(solution.predicted).toEqual(predictTimes(problem, solution.placement));
    }
  });

  it("gives the same answer again", async () => {
    for (const seed of seeds.slice(0, 10)) expect(await solve(randomProblem(seed))).toEqual(await solve(randomProblem(seed)));
  });

  it("is not slower with more bytes, by more than the gap", async () => {
    for (const seed of seeds.slice(0, 25)) {
      const problem = randomProblem(seed);
      const before = await solve(problem);
      if (before.status === "infeasible") continue;
      for (const grown of problem.devices) {
        const devices = problem.devices.map((device) =>
          device === grown ? { ...device, budgetBytes: Math.floor(device.budgetBytes * 1.2) } : device,
        );
        const after = (await solve({ ...problem, devices })) as Found;
        expect(after.predicted.workloadSeconds * (1 - after.gap), `${name}, seed ${seed}, ${grown.id}`).toBeLessThanOrEqual(
          before.predicted.workloadSeconds * (1 + 1e-9),
        );
      }
    }
  });

  it("names missing bytes that make the problem feasible when they are there", async () => {
    let numInfeasible = 0;
    for (const seed of seeds.slice(0, 6)) {
      const problem = randomProblem(seed);
      const small = {
        ...problem,
        devices: problem.devices.map((device) => ({ ...device, budgetBytes: Math.floor(device.budgetBytes * 0.3) })),
      };
      const solution = await solve(small);
      if (solution.status !== "infeasible") continue;
      numInfeasible++;
      const devices = small.devices.map((device) => ({
        ...device,
        budgetBytes: device.budgetBytes + (solution.missingBytes[device.id] ?? 0),
      }));
      expect((await solve({ ...small, devices })).status, `seed ${seed}`).not.toBe("infeasible");
    }
    expect(numInfeasible).toBeGreaterThan(2);
  });

  it("refuses a unit that can lie nowhere, and devices that no link joins", async () => {
    const problem = randomProblem(1);
    const { id } = problem.units[1]!;
    await expect(solve({ ...problem, allowedDevices: { [id]: [] } })).rejects.toMatchObject({
      code: "invalid-plan",
      subject: `unit ${id}`,
    });
    await expect(solve({ ...problem, links: problem.links.slice(0, 1) })).rejects.toMatchObject({
      code: "invalid-request",
      parameter: "links",
    });
  });

  it("does not begin when it is aborted already", async () => {
    await expect(solve(randomProblem(1), { signal: AbortSignal.abort(new Error("stop")) })).rejects.toThrow("stop");
  });
});

describe("a large problem", () => {
  it("with rows of all frequencies is solved to a tenth of a percent, hot rows on the fast device", async () => {
    const problem = layeredProblem(40, 0.35, 7);
    const solution = (await solveGreedy(problem)) as Found;
    expect(solution.gap).toBeLessThan(1e-3);
    expect(solution.status).toBe("optimal");
    const split = [...solution.placement].filter(([, parts]) => parts.length > 1);
    expect(split.length).toBeGreaterThan(6);
    const exact = (await solveExact(problem)) as Found;
    expect(exact.predicted.workloadSeconds).toBeLessThanOrEqual(solution.predicted.workloadSeconds);
  });
});

describe("predictUnitSeconds", () => {
  it("adds up to the step on one device", () => {
    const problem = randomProblem(3);
    const placement = new Map(problem.units.map(({ id }) => [id, [{ device: "cpu:0" }]]));
    const seconds = [...predictUnitSeconds(problem, placement).values()].reduce((sum, byDevice) => sum + byDevice.get("cpu:0")!, 0);
    expect(seconds / predictTimes(problem, placement).secondsPerToken).toBeCloseTo(1, 12);
  });
});

describe("the worker of the exact solver", () => {
  afterEach(() => vi.restoreAllMocks());

  it("ends where the signal is aborted, and the answer is its reason", async () => {
    const controller = new AbortController();
    const solving = solveExact(layeredProblem(12, 0.35, 7), { gap: 0, timeLimitMs: 60_000, signal: controller.signal });
    // Fires in the first turn of the event loop that solving gives, when the worker is loading HiGHS.
    setTimeout(() => controller.abort(new Error("stop")), 1);
    const begin = performance.now();
    await expect(solving).rejects.toThrow("stop");
    expect(performance.now() - begin).toBeLessThan(30_000);
  });

  it("is done without where none can be started: greedy's answer, and a note that says why", async () => {
    vi.resetModules();
    vi.spyOn(process, "getBuiltinModule").mockReturnValue(undefined as never);
    const { solveExact: solveWithoutWorker } = await import("../src/exact/solve-exact.js");
    const problem = layeredProblem(3, 0.4, 11);
    const greedy = (await solveGreedy(problem, { gap: 0 })) as Found;
    const exact = (await solveWithoutWorker(problem, { gap: 0 })) as Found;
    expect(exact.placement).toEqual(greedy.placement);
    expect(exact.note).toMatch(/^not solved exactly: no worker could be started/);
  });
});
