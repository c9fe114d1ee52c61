import type { OffloadPlan, OffloadPlanUnit } from "@thermocline/spec";
import { describe, expect, it } from "vitest";
import { comparePlans, formatComparison } from "../../src/index.js";
import { mixturePlan, splitPlan } from "../support/example-plans.js";
import { createRandom, randomPlan, randomUnits } from "../support/random-plans.js";

const devices = { "cpu:0": { backend: "cpu" }, "cuda:0": { backend: "cuda" } };
const planOf = (...units: readonly OffloadPlanUnit[]): OffloadPlan => ({ version: 1, model: "a", devices, units });

describe("comparePlans", () => {
  it("finds nothing between a plan and itself", () => {
    const comparison = comparePlans(splitPlan(), splitPlan());
    expect(comparison).toMatchObject({ notes: [], moved: [], bytes: [], fields: [] });
    expect(formatComparison(comparison)).toBe("The plans are the same.");
  });

  it("counts the rows that changed hands, not the shares", () => {
    const id = "blk.0.feed-forward";
    const half = (device: string, first: number): OffloadPlanUnit => ({ id, device, rows: [[first, 64]], byteLength: 500 });
    const { moved } = comparePlans(planOf(half("cpu:0", 0), half("cuda:0", 64)), planOf(half("cuda:0", 0), half("cpu:0", 64)));
    expect(moved).toEqual([
      { id, share: 1, before: { "cpu:0": 0.5, "cuda:0": 0.5 }, after: { "cuda:0": 0.5, "cpu:0": 0.5 }, byteLength: 1000 },
    ]);
  });

  it("takes a unit that one plan does not name to lie on its first device", () => {
    const whole: OffloadPlanUnit = { id: "head", device: "cuda:0" };
    expect(comparePlans(planOf(), planOf(whole)).moved).toEqual([{ id: "head", share: 1, before: { "cpu:0": 1 }, after: { "cuda:0": 1 } }]);
    expect(comparePlans(planOf(), planOf({ ...whole, device: "cpu:0" })).moved).toEqual([]);
    const part: OffloadPlanUnit[] = [
      { id: "head", device: "cpu:0", rows: [[0, 96]] },
      { id: "head", device: "cuda:0", rows: [[96, 32]] },
    ];
    expect(comparePlans(planOf(), planOf(...part)).moved).toMatchObject([{ share: 0.25, after: { "cpu:0": 0.75, "cuda:0": 0.25 } }]);
  });

  it("agrees with a count row by row on random plans", () => {
    for (let seed = 0; seed < 100; seed++) {
      const random = createRandom(seed);
      const units = randomUnits(random);
      const [before, after] = [randomPlan(random, "a", units), randomPlan(random, "a", units)];
      const { moved } = comparePlans(before, after);
      for (const { id, rows } of units) {
        const ownersIn = (plan: OffloadPlan) => {
          const owners = new Array<string>(rows?.count ?? 1).fill("");
          for (const { id: named, device, rows: ranges = [[0, owners.length]] } of plan.units)
            if (named === id) for (const [first, count] of ranges) owners.fill(device, first, first + count);
          return owners;
        };
        const [old, now] = [ownersIn(before), ownersIn(after)];
        const count = old.filter((device, row) => device !== now[row]).length;
        const share = moved.find((move) => move.id === id)?.share ?? 0;
        expect(share, `seed ${seed}, ${id}`).toBeCloseTo(count / old.length, 12);
      }
    }
  });

  it("tells bytes by device and class, predictions, and every field that differs", () => {
    const before = splitPlan();
    const after: OffloadPlan = {
      ...before,
      settings: { ...before.settings, contextLength: 4096 },
      bytes: { ...before.bytes, "cuda:0": { ...before.bytes!["cuda:0"], "kv-cache": 2 ** 29 } },
      predicted: { ...before.predicted!, prefillSeconds: 2.605 },
      solver: { ...before.solver!, name: "exact" },
    };
    const { bytes, predicted, fields, notes } = comparePlans(before, after);
    expect(bytes).toEqual([
      { device: "cuda:0", class: "kv-cache", before: 1.25 * 2 ** 30, after: 2 ** 29 },
      { device: "cuda:0", class: "all", before: expect.any(Number), after: expect.any(Number) },
    ]);
    expect(bytes[1]!.before! - bytes[1]!.after!).toBe(0.75 * 2 ** 30);
    expect(predicted[0]).toEqual({ name: "prefillSeconds", before: 5.21, after: 2.605 });
    expect(fields).toEqual([
      { name: "settings.contextLength", before: 8192, after: 4096 },
      { name: "solver.name", before: "greedy", after: "exact" },
    ]);
    expect(notes).toEqual([expect.stringMatching(/caches of different sizes/)]);
    const text = formatComparison({ notes, bytes, predicted, fields, moved: [] });
    expect(text).toMatch(/^to the first token +5\.21 s +2\.60 s +2\.00 times as fast$/m);
    expect(text).toMatch(/^cuda:0 kv-cache +1\.25 GiB +512\.0 MiB +-768\.0 MiB$/m);
    expect(text).toMatch(/^settings\.contextLength +8,192 +4,096$/m);
  });

  it("shortens hashes and addresses, so that a line stays a line", () => {
    const before = splitPlan();
    const machine = { name: "a", source: `https://example.com/${"a".repeat(300)}` };
    const text = formatComparison(comparePlans({ ...before, machine }, { ...before, model: "f".repeat(64) }));
    expect(text).toMatch(/^model +9d0c1f44ab3e +f{33}\.\.\.$/m);
    expect(Math.max(...text.split("\n").map((line) => line.length))).toBeLessThanOrEqual(100);
  });

  it("compares plans for different models with a note, by the units that both have", () => {
    const comparison = comparePlans(splitPlan(), mixturePlan());
    expect(comparison.notes[0]).toMatch(/different models; \d+ units that only one of them names/);
    expect(comparison.moved.every(({ id }) => /^(embedding|head|blk\.\d+\.(attention|feed-forward))$/.test(id))).toBe(true);
    expect(comparison.fields).toContainEqual({ name: "model", before: "9d0c1f44ab3e", after: "77aa" });
    expect(formatComparison(comparison)).toMatch(/^ {2}6\.62 GiB of attention of layers 31-60 from cuda:0 to cuda:1$/m);
  });

  it("tells moves of a kind between the same devices in one line", () => {
    const before = splitPlan();
    const units = before.units.map((entry): OffloadPlanUnit => {
      if (!/^blk\.(1[4-9]|30)\.feed-forward$/.test(entry.id)) return entry;
      return { ...entry, rows: entry.device === "cuda:0" ? [[0, 6400]] : [[6400, 28_672 - 6400]] };
    });
    const text = formatComparison(comparePlans(before, { ...before, units }), { width: 200 });
    // Rows that came to the card: 13,440 of 28,672, of 396 MiB.
    expect(text).toMatch(/^moved: 7 units, 185\.6 MiB$/m);
    expect(text).toMatch(/of feed-forward of layers 14-19, 30 from cuda:0 13-18 % \+ cpu:0 82-87 % to cuda:0 22 % \+ cpu:0 78 %$/m);
  });
});
