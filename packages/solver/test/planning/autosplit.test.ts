import { InfeasiblePlanError } from "@thermocline/spec";
import { describe, expect, it } from "vitest";
import { createAutosplitPlan, createPlan } from "../../src/planning/create-plan.js";
import type { PlanRequest } from "../../src/planning/plan-request.js";
import { device, GiB, MiB, machineOf, traits } from "./support/table-machine.js";
import { tableModel } from "./support/table-model.js";

function twoGpus(first: number, second: number, reserves: readonly [number, number] = [0, 0]): PlanRequest {
  return {
    demandModel: tableModel({ numLayers: 12 }),
    machine: machineOf(device("cpu:0", 16 * GiB, 40), device("cuda:0", 4 * GiB, 400), device("cuda:1", 4 * GiB, 400)),
    traits,
    budgets: {
      "cuda:0": { budgetBytes: first * MiB, reserveBytes: reserves[0] * MiB },
      "cuda:1": { budgetBytes: second * MiB, reserveBytes: reserves[1] * MiB },
    },
    solver: "greedy",
  };
}

const usedBytes = (classes: object) => Object.values(classes).reduce((sum: number, bytes: number) => sum + bytes, 0);

describe("autosplit", () => {
  it("gives whole layers in order to the GPUs, each filled alike", async () => {
    const plan = await createAutosplitPlan(twoGpus(200, 400));
    const homes = plan.units.map(({ device: home }) => home);
    expect(homes).toEqual([...homes].sort());
    expect(new Set(homes)).toEqual(new Set(["cuda:0", "cuda:1"]));
    expect(plan.units.every(({ rows }) => rows === undefined)).toBe(true);
    for (const { id, device: home } of plan.units) {
      const attention = plan.units.find((unit) => unit.id === id.replace("feed-forward", "attention"));
      if (id.endsWith("feed-forward")) expect(attention!.device).toBe(home);
    }
    const shares = [200, 400].map((mib, index) => usedBytes(plan.bytes![`cuda:${index}`]!) / (mib * MiB));
    // A layer takes 16.4 MiB, 8 % of the smaller device.
    expect(Math.abs(shares[0]! - shares[1]!)).toBeLessThan(0.09);
    expect(plan.solver!.name).toBe("autosplit");
    expect(plan.units[0]!.reason).toBe("its turn in the order of layers; every device is filled alike");
  });

  it("keeps each device's reserve free", async () => {
    const plan = await createAutosplitPlan(twoGpus(300, 300, [200, 0]));
    expect(usedBytes(plan.bytes!["cuda:0"]!)).toBeLessThanOrEqual(100 * MiB);
    expect(usedBytes(plan.bytes!["cuda:1"]!)).toBeGreaterThan(100 * MiB);
    expect(plan.devices["cuda:0"]).toMatchObject({ budgetBytes: 300 * MiB, reserveBytes: 200 * MiB });
  });

  it("leaves a device out that would only be in the way", async () => {
    const plan = await createAutosplitPlan(twoGpus(400, 12));
    expect(Object.keys(plan.devices)).toEqual(["cuda:0"]);
  });

  it("plans all of the model or nothing", async () => {
    await expect(createAutosplitPlan(twoGpus(100, 60))).rejects.toThrow(InfeasiblePlanError);
  });

  it("is among the rivals of a plan for several GPUs", async () => {
    const plan = await createPlan(twoGpus(300, 300));
    expect(plan.comparison!.map(({ strategy }) => strategy)).toContain("autosplit");
  });
});
