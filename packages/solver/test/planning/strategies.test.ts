import type { OffloadProblem, Placement } from "@thermocline/spec";
import { describe, expect, it } from "vitest";
import { preparePlan } from "../../src/planning/plan-context.js";
import type { PlanRequest } from "../../src/planning/plan-request.js";
import { overheadBounds, problemOf } from "../../src/planning/planning-problem.js";
import { rivals } from "../../src/planning/solve-placement.js";
import { predictTimes } from "../../src/pricing/predict-times.js";
import { priceProblem } from "../../src/pricing/priced-problem.js";
import { device, GiB, MiB, machineOf, requestOf, traits } from "./support/table-machine.js";
import { tableModel } from "./support/table-model.js";

function problemFor(request: PlanRequest): OffloadProblem {
  const context = preparePlan(request);
  const limits = new Map(context.limits.devices.map(({ device: { id }, limitBytes }) => [id, limitBytes]));
  return problemOf(context, limits, overheadBounds(context));
}

/** Every unit whole on the device that `homeOf` names, if that fits. */
function placeIfItFits(problem: OffloadProblem, homeOf: (id: string, kind: string, layer: number) => string): Placement | undefined {
  const placement: Placement = new Map(problem.units.map(({ id, kind, layer }) => [id, [{ device: homeOf(id, kind, layer) }]]));
  for (const { id, budgetBytes, units } of problem.devices) {
    let bytes = 0;
    for (const [unit, [part]] of placement as Map<string, [{ device: string }]>)
      if (part.device === id) bytes += units[unit]!.weightBytes + units[unit]!.kvCacheBytes;
    if (bytes > budgetBytes) return undefined;
  }
  return placement;
}

/** Every order of every choice of devices. */
function ordersOf(devices: readonly string[]): string[][] {
  return devices.flatMap((first) => [[first], ...ordersOf(devices.filter((other) => other !== first)).map((rest) => [first, ...rest])]);
}

/** Ascending ends of runs that each have something, the last of them `count`. */
function cutsOf(numRuns: number, count: number): number[][] {
  if (numRuns === 1) return [[count]];
  const cuts: number[][] = [];
  for (let end = numRuns - 1; end < count; end++) for (const before of cutsOf(numRuns - 1, end)) cuts.push([...before, count]);
  return cuts;
}

/** Homes of layers and, as item `numLayers`, the head, in runs. */
function* runsOf(devices: readonly string[], numLayers: number): Generator<(item: number) => string> {
  for (const order of ordersOf(devices))
    for (const ends of cutsOf(order.length, numLayers + 1)) yield (item) => order[ends.findIndex((end) => item < end)]!;
}

const twoDevices = (gpuMiB: number, layers = 5) => requestOf(gpuMiB, { numLayers: layers });
const threeDevices = (first: number, second: number): PlanRequest => ({
  demandModel: tableModel({ numLayers: 4 }),
  machine: machineOf(device("cpu:0", 16 * GiB, 40), device("cuda:0", 8 * GiB, 300), device("cuda:1", 8 * GiB, 700)),
  traits,
  budgets: { "cuda:0": { budgetBytes: first * MiB }, "cuda:1": { budgetBytes: second * MiB } },
});
const requests = [...[12, 20, 40, 60, 90].map((mib) => twoDevices(mib)), threeDevices(40, 40), threeDevices(30, 60), threeDevices(60, 20)];

const secondsOf = (problem: OffloadProblem, placement: Placement | undefined) =>
  placement === undefined ? Number.POSITIVE_INFINITY : predictTimes(problem, placement).workloadSeconds;

describe("whole layers", () => {
  it("are cut and ordered as the best of all choices is", () => {
    for (const request of requests) {
      const problem = problemFor(request);
      const devices = problem.devices.map(({ id }) => id);
      const numLayers = problem.units.filter(({ kind }) => kind === "attention").length;
      let best = Number.POSITIVE_INFINITY;
      for (const homeOfItem of runsOf(devices, numLayers))
        for (const embedding of devices) {
          const home = (_: string, kind: string, layer: number) =>
            kind === "embedding" ? embedding : homeOfItem(kind === "head" ? numLayers : layer);
          best = Math.min(best, secondsOf(problem, placeIfItFits(problem, home)));
        }
      const found = rivals["whole-layer"](priceProblem(problem))!;
      expect(secondsOf(problem, found)).toBeCloseTo(best, 12);
      expect(placeIfItFits(problem, (id) => found.get(id)![0]!.device)).toBeDefined();
    }
  });
});

describe("FFN first", () => {
  it("spills as the best of all choices does", () => {
    for (const request of requests) {
      const problem = problemFor(request);
      const gpus = problem.devices.map(({ id }) => id).filter((id) => id !== "cpu:0");
      const numLayers = problem.units.filter(({ kind }) => kind === "attention").length;
      let best = Number.POSITIVE_INFINITY;
      for (const homeOfItem of runsOf(gpus, numLayers))
        for (const embedding of ["cpu:0", ...gpus])
          for (let spilled = 0; spilled <= numLayers; spilled++)
            for (const isFirst of [true, false]) {
              const isSpilled = (layer: number) => (isFirst ? layer < spilled : layer >= numLayers - spilled);
              const home = (_: string, kind: string, layer: number) => {
                if (kind === "embedding") return embedding;
                if (kind === "feed-forward" && isSpilled(layer)) return "cpu:0";
                return homeOfItem(kind === "head" ? numLayers : layer);
              };
              best = Math.min(best, secondsOf(problem, placeIfItFits(problem, home)));
            }
      const found = rivals["ffn-first"](priceProblem(problem));
      if (best === Number.POSITIVE_INFINITY) expect(found).toBeUndefined();
      else {
        expect(secondsOf(problem, found)).toBeCloseTo(best, 12);
        expect(placeIfItFits(problem, (id) => found!.get(id)![0]!.device)).toBeDefined();
      }
    }
  });

  it("keeps routers with the attention and spills experts alone", () => {
    const table = { numLayers: 4, experts: { count: 16, used: 2, numNeurons: 512 } };
    const found = rivals["ffn-first"](priceProblem(problemFor(requestOf(100, table))))!;
    const homes = (suffix: string) => [...found].filter(([id]) => id.endsWith(suffix)).map(([, [part]]) => part!.device);
    expect(new Set(homes("router"))).toEqual(new Set(["cuda:0"]));
    expect(new Set(homes("attention"))).toEqual(new Set(["cuda:0"]));
    expect(homes("experts")).toContain("cpu:0");
  });
});
