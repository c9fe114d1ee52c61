import type { OffloadPlan } from "@thermocline/spec";
import { describe, expect, it } from "vitest";
import { createSharePlan, formatPlan } from "../../src/index.js";
import { model, units } from "../support/example-units.js";

const devices = { "cpu:0": { backend: "cpu", threads: 2, budgetBytes: 64 * 2 ** 20 }, "reference:0": { backend: "reference" } };

describe("formatPlan", () => {
  it("prints devices, then each unit with where its rows lie", () => {
    const plan = createSharePlan({ model, units, devices, shares: { "reference:0": 0.25 } });
    expect(formatPlan(plan, units)).toBe(
      [
        "plan for model 3f9a1c2b",
        "cpu:0  cpu, 2 threads, budget 64.0 MiB; 6 of 6 units wholly or in part, reads 11.0 MiB",
        "reference:0  reference; 2 of 6 units wholly or in part, reads 344.3 KiB",
        "",
        "unit                device       rows                reads",
        "embedding           cpu:0                            306 B",
        "blk.0.attention     cpu:0                        344.3 KiB",
        "blk.0.feed-forward  cpu:0        0-575 (75 %)    516.4 KiB",
        "                    reference:0  576-767 (25 %)  172.1 KiB",
        "blk.1.attention     cpu:0                        344.3 KiB",
        "blk.1.feed-forward  cpu:0        0-575 (75 %)    516.4 KiB",
        "                    reference:0  576-767 (25 %)  172.1 KiB",
        "head                cpu:0                         9.34 MiB",
      ].join("\n"),
    );
  });

  it("shows what a plan's entries say of themselves, and what is predicted", () => {
    const plan: OffloadPlan = {
      version: 1,
      model,
      devices,
      units: [{ id: "head", device: "reference:0", byteLength: 1000, reason: "pinned by the user", predictedSeconds: 0.0125 }],
      predicted: { prefillSeconds: 1.5, secondsPerToken: 0.00002 },
    };
    const lines = formatPlan(plan, units).split("\n");
    expect(lines).toContain("predicted  1.50 s to the first token, then 20.0 us a token");
    expect(lines.at(-1)).toMatch(/^head +reference:0 +9\.34 MiB +1000 B +12\.50 ms +pinned by the user$/);
    expect(lines.find((line) => line.startsWith("unit"))).toMatch(/reads +holds +predicted +reason$/);
  });

  it("shortens a long list of ranges", () => {
    const id = "blk.0.feed-forward";
    const even = Array.from({ length: 12 }, (_, index) => [index * 64, 32] as const);
    const odd = even.map(([first]) => [first + 32, 32] as const);
    const entries = [
      { id, device: "cpu:0", rows: even },
      { id, device: "reference:0", rows: odd },
    ];
    expect(formatPlan({ version: 1, model, devices, units: entries }, units)).toContain("0-31, 64-95, 10 more ranges (50 %)");
  });

  it("refuses a plan that does not fit the units", () => {
    const plan: OffloadPlan = { version: 1, model, devices, units: [{ id: "blk.9.attention", device: "cpu:0" }] };
    expect(() => formatPlan(plan, units)).toThrow(/no unit of this model/);
  });
});
