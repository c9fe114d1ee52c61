import { InfeasiblePlanError } from "@thermocline/spec";
import { describe, expect, it } from "vitest";
import { claimsOf, OverclaimedDeviceError, planTogether, type SharedPlanRequest } from "../../src/planning/answers/plan-together.js";
import { createPlan } from "../../src/planning/create-plan.js";
import { device, GiB, MiB, machineOf, requestOf, traits } from "./support/table-machine.js";
import { tableModel } from "./support/table-model.js";

const machine = machineOf(device("cpu:0", 16 * GiB, 40), device("cuda:0", GiB, 400));
const shared = (name: string, numLayers: number, more: Partial<SharedPlanRequest> = {}): SharedPlanRequest => ({
  name,
  demandModel: tableModel({ name, numLayers }),
  machine,
  traits,
  solver: "greedy",
  budgets: { "cuda:0": { budgetBytes: 120 * MiB } },
  ...more,
});
const first = shared("first", 4);
const second = shared("second", 8);

describe("models that share a machine", () => {
  it("get the same plans at once, in either order, and in turn with the same claims", async () => {
    const together = await planTogether([first, second]);
    const reversed = await planTogether([second, first]);
    expect([...together.keys()]).toEqual(["first", "second"]);
    for (const request of [first, second]) {
      const plan = together.get(request.name)!;
      expect(reversed.get(request.name)).toEqual(plan);
      const claims = claimsOf([first, second]).get(request.name)!;
      const budgets = Object.fromEntries([...claims].map(([id, budgetBytes]) => [id, { budgetBytes, reserveBytes: 0 }]));
      const { name: _, ...alone } = request;
      expect(await createPlan({ ...alone, budgets })).toEqual(plan);
    }
  });

  it("stay within their claims, which together stay within each device", async () => {
    const plans = await planTogether([first, second]);
    const total = (id: string) =>
      [...plans.values()].flatMap(({ bytes }) => Object.values(bytes![id] ?? {})).reduce((sum, bytes) => sum + bytes, 0);
    expect(total("cuda:0")).toBeGreaterThan(80 * MiB);
    expect(total("cuda:0")).toBeLessThanOrEqual(120 * MiB);
    for (const [name, plan] of plans) {
      const claim = claimsOf([first, second]).get(name)!.get("cuda:0")!;
      expect(Object.values(plan.bytes!["cuda:0"]!).reduce((sum, bytes) => sum + bytes, 0)).toBeLessThanOrEqual(claim);
    }
  });

  it("claim by default their fraction of all weights, and else bytes or fractions of what there is", () => {
    const weights = [first, second].map(({ demandModel }) => demandModel.model.weightBytes) as [number, number];
    const byDefault = claimsOf([first, second]);
    expect(byDefault.get("first")!.get("cuda:0")).toBe(Math.floor((120 * MiB * weights[0]) / (weights[0] + weights[1])));
    const claims = claimsOf([
      { ...first, claims: { "cuda:0": { bytes: 50 * MiB } } },
      { ...second, claims: { "cuda:0": { fraction: 0.5 } } },
    ]);
    expect(claims.get("first")!.get("cuda:0")).toBe(50 * MiB);
    expect(claims.get("second")!.get("cuda:0")).toBe(60 * MiB);
  });

  it("are refused where they claim more than there is, each by name with its claim", () => {
    const requests = [first, second].map((request) => ({ ...request, claims: { "cuda:0": { bytes: 70 * MiB } } }));
    const error = (() => {
      try {
        return claimsOf(requests);
      } catch (reason) {
        return reason;
      }
    })();
    expect(error).toBeInstanceOf(OverclaimedDeviceError);
    expect(error).toMatchObject({ device: "cuda:0", claims: { first: 70 * MiB, second: 70 * MiB }, haveBytes: 120 * MiB });
    expect((error as Error).message).toContain(`first ${70 * MiB}, second ${70 * MiB}`);
  });

  it("are refused by name where one does not fit within its claim", async () => {
    const claims = { "cpu:0": { bytes: 20 * MiB }, "cuda:0": { bytes: 20 * MiB } };
    const error: unknown = await planTogether([first, { ...second, claims }]).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(InfeasiblePlanError);
    expect((error as Error).message).toContain("for second: ");
  });

  it("need different names, one machine, and claims that are numbers of bytes or fractions", () => {
    expect(() => claimsOf([])).toThrow("has no model");
    expect(() => claimsOf([first, first])).toThrow("has two models called first");
    expect(() => claimsOf([first, { ...second, budgets: {} }])).toThrow("has another machine or budgets than first");
    expect(() => claimsOf([{ ...first, claims: { "cuda:9": { bytes: 1 } } }])).toThrow("name cuda:9");
    for (const fraction of [-0.1, 1.1, Number.NaN])
      expect(() => claimsOf([{ ...first, claims: { "cuda:0": { fraction } } }])).toThrow(`of first on cuda:0 is ${fraction}`);
    expect(() => claimsOf([{ ...first, claims: { "cuda:0": { bytes: -1 } } }])).toThrow("of first on cuda:0 is -1");
  });

  it("share the memory of two host devices", async () => {
    const two = machineOf(device("cpu:0", 4 * GiB, 40), device("cpu:1", 4 * GiB, 20));
    const { budgets: _, ...plain } = requestOf(0, { numLayers: 2 }, { machine: two });
    const plans = await planTogether([
      { ...plain, name: "a" },
      { ...plain, name: "b" },
    ]);
    const total = [...plans.values()].flatMap(({ bytes }) => Object.values(bytes!).flatMap((classes) => Object.values(classes)));
    expect(total.reduce((sum, bytes) => sum + bytes, 0)).toBeLessThanOrEqual(3 * GiB);
    expect(plans.get("a")!.units).toEqual(plans.get("b")!.units);
  });
});
