import type { OffloadPlan } from "@thermocline/spec";
import { describe, expect, it } from "vitest";
import { createPlan } from "../../src/planning/create-plan.js";
import { InvalidPinError } from "../../src/planning/pins.js";
import type { PlanRequest } from "../../src/planning/plan-request.js";
import { device, GiB, machineOf, requestOf } from "./support/table-machine.js";
import { tableTraits } from "./support/table-model.js";

const homesOf = ({ units }: OffloadPlan, pattern: RegExp) => [
  ...new Set(units.filter(({ id }) => pattern.test(id)).map(({ device: home }) => home)),
];
const unitsOn = ({ units }: OffloadPlan, home: string) => units.filter((unit) => unit.device === home).map(({ id }) => id);

async function pinErrorOf(request: PlanRequest): Promise<InvalidPinError> {
  const error: unknown = await createPlan(request).catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(InvalidPinError);
  return error as InvalidPinError;
}

describe("pins", () => {
  it("hold in every plan, say so, and the rest is solved around them", async () => {
    const pins = [
      { pattern: "blk\\.[02]\\.attn", device: "cpu:0" },
      { pattern: "blk.7.ffn", device: "cuda:0" },
      { pattern: "head", device: "cpu:0" },
    ];
    for (const gpuMiB of [20, 60, 400]) {
      const plan = await createPlan(requestOf(gpuMiB, {}, { pins }));
      expect(homesOf(plan, /^(blk\.[02]\.attention|head)$/)).toEqual(["cpu:0"]);
      expect(homesOf(plan, /^blk\.7\.feed-forward$/)).toEqual(["cuda:0"]);
      expect(plan.units.find(({ id }) => id === "head")!.reason).toBe("pinned by you: head");
      expect(unitsOn(plan, "cuda:0").length).toBeGreaterThan(1);
    }
  });

  it("understand the short names of unit kinds, and match whole ids", async () => {
    const table = { numLayers: 3, experts: { count: 8, used: 2, numNeurons: 256 } };
    const pins = [{ pattern: "blk\\.\\d\\.exps", device: "cpu:0" }];
    const plan = await createPlan(requestOf(400, table, { pins }));
    expect(homesOf(plan, /experts/)).toEqual(["cpu:0"]);
    expect(homesOf(plan, /attention|router/)).toEqual(["cuda:0"]);
    // "blk.1" alone is no unit, though it is the beginning of some.
    expect((await pinErrorOf(requestOf(400, table, { pins: [{ pattern: "blk.1", device: "cpu:0" }] }))).message).toContain(
      "matches no unit",
    );
  });

  it("may name a unit twice for one device", async () => {
    const pins = [
      { pattern: ".*attn", device: "cpu:0" },
      { pattern: "blk.0.*", device: "cpu:0" },
    ];
    expect(homesOf(await createPlan(requestOf(400, {}, { pins })), /attention|blk\.0/)).toEqual(["cpu:0"]);
  });

  it("are refused where they contradict, with pattern, unit and both devices", async () => {
    const pins = [
      { pattern: "blk\\.[0-3]\\.attn", device: "cuda:0" },
      { pattern: "blk.3.*", device: "cpu:0" },
    ];
    const error = await pinErrorOf(requestOf(400, {}, { pins }));
    expect(error).toMatchObject({ pattern: "blk.3.*", device: "cpu:0", otherDevice: "cuda:0", unit: "blk.3.attention" });
    expect(error.message).toContain("blk\\.[0-3]\\.attn=cuda:0");
  });

  it("are refused where nothing matches, no device is there, or the pattern is none", async () => {
    expect((await pinErrorOf(requestOf(60, {}, { pins: [{ pattern: "blk.99.attn", device: "cpu:0" }] }))).message).toBe(
      "pin blk.99.attn=cpu:0: matches no unit of this model; write an expression for whole unit ids: embedding, blk.N.attention, blk.N.feed-forward, head",
    );
    const noDevice = await pinErrorOf(requestOf(60, {}, { pins: [{ pattern: "head", device: "cuda:3" }] }));
    expect(noDevice.message).toContain("there is no device cuda:3; use one of cpu:0, cuda:0");
    expect((await pinErrorOf(requestOf(60, {}, { pins: [{ pattern: "blk.(", device: "cpu:0" }] }))).message).toContain(
      "no regular expression",
    );
  });

  it("are refused where the device cannot hold them, with the unit that is too much", async () => {
    // An attention takes 9.7 MiB with its cache.
    const error = await pinErrorOf(requestOf(25, {}, { pins: [{ pattern: ".*attn", device: "cuda:0" }] }));
    expect(error).toMatchObject({ pattern: ".*attn", device: "cuda:0", unit: "blk.2.attention" });
    expect(error.message).toMatch(/takes 30474240 bytes, it has 26214400/);
  });

  it("are refused where the device has no kernels for the unit", async () => {
    const traits = { cpu: tableTraits("cpu"), cuda: { ...tableTraits("cuda"), supports: () => false } };
    const error = await pinErrorOf(requestOf(60, {}, { traits, pins: [{ pattern: "head", device: "cuda:0" }] }));
    expect(error.message).toBe("pin head=cuda:0: cuda:0 has no kernels for head; pin it to cpu:0");
  });
});

describe("the limit of GPU layers", () => {
  it("lets the last so many layers and the head use GPUs, and no others", async () => {
    const plan = await createPlan(requestOf(400, {}, { maxGpuLayers: 3 }));
    expect(homesOf(plan, /^blk\.[567]\.|^head$/)).toEqual(["cuda:0"]);
    expect(homesOf(plan, /^blk\.[0-4]\.|^embedding$/)).toEqual(["cpu:0"]);
    expect(plan.units[1]!.reason).toBe("only the last 3 layers may use GPUs, as asked");
    expect(Object.keys((await createPlan(requestOf(400, {}, { maxGpuLayers: 0 }))).devices)).toEqual(["cpu:0"]);
    expect(Object.keys((await createPlan(requestOf(400, {}, { maxGpuLayers: 8 }))).devices)).toEqual(["cuda:0"]);
  });

  it("composes with experts on the CPU, and pins win over both", async () => {
    const table = { numLayers: 4, experts: { count: 8, used: 2, numNeurons: 256 } };
    const pins = [{ pattern: "blk.3.exps", device: "cuda:0" }];
    const plan = await createPlan(requestOf(400, table, { maxGpuLayers: 2, cpuExperts: true, pins }));
    expect(homesOf(plan, /^blk\.2\.experts$/)).toEqual(["cpu:0"]);
    expect(homesOf(plan, /^blk\.3\.experts$/)).toEqual(["cuda:0"]);
    expect(homesOf(plan, /^blk\.[01]\./)).toEqual(["cpu:0"]);
    expect(homesOf(plan, /^blk\.[23]\.(attention|router)$/)).toEqual(["cuda:0"]);
  });

  it("is refused where the machine has no CPU to keep anything on", async () => {
    const machine = machineOf(device("cuda:0", GiB, 400));
    await expect(createPlan(requestOf(400, {}, { machine, maxGpuLayers: 3 }))).rejects.toMatchObject({
      code: "invalid-request",
      parameter: "maxGpuLayers",
    });
    await expect(createPlan(requestOf(400, {}, { maxGpuLayers: 1.5 }))).rejects.toMatchObject({ parameter: "maxGpuLayers", value: 1.5 });
  });
});
