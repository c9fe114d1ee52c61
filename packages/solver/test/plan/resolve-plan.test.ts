import type { DeviceId, IndexRange, OffloadPlan, OffloadPlanUnit, OffloadUnit } from "@thermocline/spec";
import { describe, expect, it } from "vitest";
import { createSharePlan, parsePlan, resolvePlan, validatePlan } from "../../src/index.js";
import { model, units } from "../support/example-units.js";
import { createRandom } from "../support/random-plans.js";

const devices = { "cpu:0": { backend: "cpu" }, "reference:0": { backend: "reference" } };

describe("resolvePlan", () => {
  it("puts a unit that no entry names on the first device, undivided", () => {
    const placement = resolvePlan({ version: 1, model, devices, units: [] }, { model, units });
    expect([...placement.keys()]).toEqual(units.map(({ id }) => id));
    expect(placement.get("head")).toEqual([{ device: "cpu:0" }]);
    expect(placement.get("blk.1.feed-forward")).toEqual([{ device: "cpu:0" }]);
  });

  it("reads an entry without rows as the whole unit", () => {
    const plan: OffloadPlan = { version: 1, model, devices, units: [{ id: "blk.0.feed-forward", device: "reference:0" }] };
    expect(resolvePlan(plan, { model, units }).get("blk.0.feed-forward")).toEqual([{ device: "reference:0" }]);
  });

  it("joins touching ranges and several entries of one device, and orders parts as the plan's devices", () => {
    const id = "blk.0.feed-forward";
    const entries: OffloadPlanUnit[] = [
      {
        id,
        device: "reference:0",
        rows: [
          [64, 32],
          [96, 32],
        ],
      },
      { id, device: "cpu:0", rows: [[128, 640]] },
      { id, device: "cpu:0", rows: [[0, 64]] },
    ];
    const placement = resolvePlan({ version: 1, model, devices, units: entries }, { model, units });
    expect(placement.get(id)).toEqual([
      {
        device: "cpu:0",
        rows: [
          [0, 64],
          [128, 640],
        ],
      },
      { device: "reference:0", rows: [[64, 64]] },
    ]);
  });

  it("accepts a short last block", () => {
    const odd: OffloadUnit = { ...units[2]!, rows: { count: 172, blockSize: 32 } };
    const entries: OffloadPlanUnit[] = [
      { id: odd.id, device: "cpu:0", rows: [[0, 160]] },
      { id: odd.id, device: "reference:0", rows: [[160, 12]] },
    ];
    expect(resolvePlan({ version: 1, model, devices, units: entries }, { model, units: [odd] }).get(odd.id)).toHaveLength(2);
  });

  it("survives JSON", () => {
    const plan = createSharePlan({ model, units, devices, shares: { "reference:0": 0.5 } });
    const read = parsePlan(JSON.stringify(plan));
    expect(read).toEqual(plan);
    expect(resolvePlan(read, { model, units })).toEqual(resolvePlan(plan, { model, units }));
  });
});

/** Device of every row, or "twice" and "none" where the parts do not say exactly one. */
function owners(parts: readonly { readonly device: DeviceId; readonly rows?: readonly IndexRange[] }[], count: number): string[] {
  const owner = new Array<string>(count).fill("none");
  for (const { device, rows } of parts)
    for (const [first, length] of rows ?? [[0, count] as const])
      for (let row = first; row < first + length; row++) owner[row] = owner[row] === "none" ? device : "twice";
  return owner;
}

/** Gives every block of a unit to a random device and writes that down as entries of one to three ranges. */
function randomSplit(random: (limit: number) => number, unit: OffloadUnit, deviceIds: readonly DeviceId[]) {
  const { count, blockSize } = unit.rows!;
  const blocks = Array.from({ length: Math.ceil(count / blockSize) }, () => deviceIds[random(deviceIds.length)]!);
  const rowOwners = Array.from({ length: count }, (_, row) => blocks[Math.floor(row / blockSize)]!);
  const entries = deviceIds.flatMap((device) => {
    const ranges = blocks.flatMap((owner, block): IndexRange[] =>
      owner === device ? [[block * blockSize, Math.min(count, (block + 1) * blockSize) - block * blockSize]] : [],
    );
    const made: OffloadPlanUnit[] = [];
    while (ranges.length > 0) made.push({ id: unit.id, device, rows: ranges.splice(0, 1 + random(3)) });
    return made;
  });
  return { entries, rowOwners };
}

describe("200 random plans", () => {
  it("resolve to exactly the rows that they say, and are refused with one entry less or one twice", () => {
    for (let seed = 0; seed < 200; seed++) {
      const random = createRandom(seed);
      const deviceIds = Array.from({ length: 1 + random(4) }, (_, index) => `cpu:${index}`);
      const unit: OffloadUnit = { ...units[2]!, rows: { count: 1 + random(700), blockSize: [1, 32, 256][random(3)]! } };
      const { entries, rowOwners } = randomSplit(random, unit, deviceIds);
      for (let index = entries.length - 1; index > 0; index--) {
        const swap = random(index + 1);
        [entries[index], entries[swap]] = [entries[swap]!, entries[index]!];
      }
      const declared = Object.fromEntries(deviceIds.map((id) => [id, { backend: "cpu" }]));
      const plan: OffloadPlan = { version: 1, model, devices: declared, units: entries };
      const target = { model, units: [unit] };
      expect(owners(resolvePlan(plan, target).get(unit.id)!, unit.rows!.count), `seed ${seed}`).toEqual(rowOwners);

      const victim = random(entries.length);
      const missing = { ...plan, units: entries.filter((_, index) => index !== victim) };
      if (missing.units.length > 0) expect(() => validatePlan(missing, target), `seed ${seed}`).toThrow(/lacks rows/);
      const doubled = { ...plan, units: [...entries, entries[victim]!] };
      expect(() => validatePlan(doubled, target), `seed ${seed}`).toThrow(/twice/);
    }
  });
});

describe("createSharePlan", () => {
  const rowsOn = (plan: OffloadPlan, id: string, device: DeviceId) =>
    owners(resolvePlan(plan, { model, units }).get(id)!, 768).filter((owner) => owner === device).length;

  it.each([
    [0, 0],
    [0.01, 0],
    [0.25, 192],
    [1 / 3, 256],
    [0.5, 384],
    [0.99, 768],
    [1, 768],
  ])("gives a share of %d, rounded to whole blocks, to the second device", (share, rows) => {
    const plan = createSharePlan({ model, units, devices, shares: { "reference:0": share } });
    for (const id of ["blk.0.feed-forward", "blk.1.feed-forward"]) expect(rowsOn(plan, id, "reference:0")).toBe(rows);
    expect(plan.units.every(({ id }) => id.endsWith("feed-forward"))).toBe(true);
  });

  it("covers every unit for any shares of up to five devices", () => {
    for (let seed = 0; seed < 100; seed++) {
      const random = createRandom(seed);
      const deviceIds = Array.from({ length: 1 + random(5) }, (_, index) => `cpu:${index}`);
      const parts = deviceIds.map(() => random(100));
      const total = parts.reduce((sum, part) => sum + part, 1);
      const shares = Object.fromEntries(deviceIds.slice(1).map((id, index) => [id, parts[index + 1]! / total]));
      const unit: OffloadUnit = { ...units[2]!, rows: { count: 1 + random(2000), blockSize: [1, 32, 256][random(3)]! } };
      const plan = createSharePlan({
        model,
        units: [unit],
        devices: Object.fromEntries(deviceIds.map((id) => [id, { backend: "cpu" }])),
        shares,
      });
      const resolved = resolvePlan(plan, { model, units: [unit] }).get(unit.id)!;
      expect(owners(resolved, unit.rows!.count).every((owner) => owner.startsWith("cpu:"))).toBe(true);
      const { count, blockSize } = unit.rows!;
      for (const [index, device] of deviceIds.entries()) {
        const rows = owners(resolved, count).filter((owner) => owner === device).length;
        const share = index === 0 ? 1 - Object.values(shares).reduce((sum, part) => sum + part, 0) : shares[device]!;
        // Each of the two cuts is off by half a block, and the last block may be short.
        expect(Math.abs(rows - share * count)).toBeLessThanOrEqual(2 * blockSize);
      }
    }
  });

  it("gives out whole experts, and leaves their router on the first device", () => {
    const weights = [{ dtype: "q8_0", alwaysBytes: 0, conditionalBytes: 8 }] as const;
    const common = { layer: 0, tensors: [] as string[], weights, activationFrequency: 0.25, numCommands: 5 };
    const mixture: readonly OffloadUnit[] = [
      { ...common, id: "blk.0.router", kind: "router" },
      { ...common, id: "blk.0.experts", kind: "experts", rows: { count: 8, blockSize: 1 } },
    ];
    const plan = createSharePlan({ model, units: mixture, devices, shares: { "reference:0": 0.4 } });
    expect([...resolvePlan(plan, { model, units: mixture })]).toEqual([
      ["blk.0.router", [{ device: "cpu:0" }]],
      [
        "blk.0.experts",
        [
          { device: "cpu:0", rows: [[0, 5]] },
          { device: "reference:0", rows: [[5, 3]] },
        ],
      ],
    ]);
  });

  it.each([
    ["a share over 1", { "reference:0": 1.5 }, "share of reference:0", /is 1.5/],
    ["a negative share", { "reference:0": -0.1 }, "share of reference:0", /is -0.1/],
    ["a share that is no number", { "reference:0": Number.NaN }, "share of reference:0", /is NaN/],
    ["a share of an undeclared device", { "cuda:0": 0.5 }, "share of cuda:0", /no declared device/],
    ["a share of the first device", { "cpu:0": 0.5 }, "share of cpu:0", /first device/],
  ])("refuses %s", (_what, shares: Record<string, number>, subject, problem) => {
    expect(() => createSharePlan({ model, units, devices, shares })).toThrow(problem);
    expect(() => createSharePlan({ model, units, devices, shares })).toThrow(expect.objectContaining({ subject }));
  });

  it("refuses shares that sum to more than everything", () => {
    const three = { ...devices, "cpu:1": { backend: "cpu" } };
    expect(() => createSharePlan({ model, units, devices: three, shares: { "reference:0": 0.6, "cpu:1": 0.6 } })).toThrow(/sum to 1.2/);
  });
});
