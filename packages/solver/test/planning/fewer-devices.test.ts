import type { MachineProfile, OffloadPlan } from "@thermocline/spec";
import { describe, expect, it } from "vitest";
import { createPlan, createRankedPlans } from "../../src/planning/create-plan.js";
import type { PlanRequest } from "../../src/planning/plan-request.js";
import { device, GiB, MiB, machineOf, requestOf } from "./support/table-machine.js";

const usedDevices = ({ units }: OffloadPlan) => [...new Set(units.map(({ device: home }) => home))].sort();
const secondsOf = ({ predicted }: OffloadPlan) => predicted!.workloadSeconds!;

/** Launches and hand-overs cost next to nothing, so that every device that computes a little saves a little. */
function withoutDelays({ devices, links, ...machine }: MachineProfile): MachineProfile {
  return {
    ...machine,
    devices: devices.map((one) => ({ ...one, rates: { ...one.rates, commandSeconds: 1e-9 } })),
    links: links.map((link) => ({ ...link, latencySeconds: 1e-8, bytesPerSecond: 1e12 })),
  };
}

function requestWith(cpuGigabytesPerSecond: number, more: Partial<PlanRequest> = {}): PlanRequest {
  const machine = withoutDelays(machineOf(device("cpu:0", 16 * GiB, cpuGigabytesPerSecond), device("cuda:0", 8 * GiB, 400)));
  // Else strategies put the embedding on the CPU, and no plan may be slower than they are.
  const pins = [{ pattern: "embedding|head", device: "cuda:0" }];
  return { ...requestOf(400, { numLayers: 4, numNeurons: 16_384 }), machine, budgets: {}, pins, ...more };
}

describe("a device that helps by less than predictions are good for", () => {
  it("is left alone where another holds everything, and the reason says by how much it would be faster at most", async () => {
    const [fastest] = await createRankedPlans(requestWith(3));
    expect(usedDevices(fastest!)).toEqual(["cpu:0", "cuda:0"]);
    const plan = await createPlan(requestWith(3));
    expect(usedDevices(plan)).toEqual(["cuda:0"]);
    const layers = plan.units.filter(({ id }) => id.startsWith("blk."));
    expect(new Set(layers.map(({ reason }) => reason))).toEqual(
      new Set(["everything fits on cuda:0, and nothing is faster by more than 1 %"]),
    );
    expect(secondsOf(plan)).toBeGreaterThan(secondsOf(fastest!));
    expect(secondsOf(plan)).toBeLessThanOrEqual(secondsOf(fastest!) * 1.01);
    expect(plan.solver!.gap).toBeGreaterThanOrEqual((secondsOf(plan) - secondsOf(fastest!)) / secondsOf(plan) - 1e-9);
  });

  it("is used where it helps by more, and where the exact answer was asked for", async () => {
    expect(usedDevices(await createPlan(requestWith(40)))).toEqual(["cpu:0", "cuda:0"]);
    const exact = await createPlan(requestWith(3, { solver: "exact" }));
    expect(usedDevices(exact)).toEqual(["cpu:0", "cuda:0"]);
  });

  it("takes no part of a unit where it holds others whole and more would gain nothing to speak of", async () => {
    // The embedding is on the CPU in any case: as many devices, but no unit is split.
    const pins = [{ pattern: "embedding", device: "cpu:0" }];
    const [fastest] = await createRankedPlans(requestWith(3, { pins }));
    const splitUnits = ({ units }: OffloadPlan) => units.filter(({ rows }) => rows !== undefined).length;
    expect(splitUnits(fastest!)).toBeGreaterThan(0);
    const plan = await createPlan(requestWith(3, { pins }));
    expect(splitUnits(plan)).toBe(0);
    expect(secondsOf(plan)).toBeLessThanOrEqual(secondsOf(fastest!) * 1.01);
  });

  it("is left alone where several others hold everything together", async () => {
    const { machine } = requestWith(6);
    const three = withoutDelays(machineOf(...machine.devices, device("cuda:1", 8 * GiB, 400)));
    const budgets = { "cuda:0": { budgetBytes: 120 * MiB }, "cuda:1": { budgetBytes: 120 * MiB } };
    const [fastest] = await createRankedPlans(requestWith(6, { machine: three, budgets }));
    expect(usedDevices(fastest!)).toEqual(["cpu:0", "cuda:0", "cuda:1"]);
    const plan = await createPlan(requestWith(6, { machine: three, budgets }));
    expect(usedDevices(plan)).toEqual(["cuda:0", "cuda:1"]);
    expect(secondsOf(plan)).toBeLessThanOrEqual(secondsOf(fastest!) * 1.01);
  });
});
