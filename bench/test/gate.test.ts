import { supportedIsas } from "@thermocline/cpu-kernels";
import { describe, expect, it } from "vitest";
import { measureGate } from "../gate.mjs";
import { gainOf, judgeCells } from "../gate-report.mjs";

const hasAddon = (() => {
  try {
    return supportedIsas().length > 0;
  } catch {
    console.warn("skipped, the gate needs the CPU addon, which is not built");
    return false;
  }
})();

/** A cell whose strategies decode at these speeds in each round; equal letters are equal placements. */
function cellOf(
  speeds: Readonly<Record<"plan" | "whole-layer" | "ffn-first", readonly number[]>>,
  placements = "abc",
  differingTokens = 0,
) {
  return {
    model: "made up",
    share: 0.5,
    workload: { promptTokens: 1, outputTokens: 1, contextDepth: 0, batch: 1 },
    measuredTokens: 1,
    differingTokens,
    budgetBytes: {},
    strategies: (["plan", "whole-layer", "ffn-first"] as const).map((strategy, index) => ({
      strategy,
      placedAs: placements.charCodeAt(index),
      bytes: {},
      decode: { predicted: 1, rounds: speeds[strategy] },
      prefill: { predicted: 1, rounds: speeds[strategy] },
    })),
  };
}

describe("the gate's verdict", () => {
  it("compares the plan with its fastest rival round by round", () => {
    // A slow second round of the machine falls on all three.
    const cell = cellOf({ plan: [12, 6, 12], "whole-layer": [10, 5, 10], "ffn-first": [6, 3, 6] });
    expect(gainOf(cell)).toBeCloseTo(1.2, 9);
  });

  it("takes a placement that is the same as one that is neither faster nor slower", () => {
    expect(gainOf(cellOf({ plan: [10], "whole-layer": [11], "ffn-first": [5] }, "aab"))).toBe(1);
  });

  it("asks for 0.97 of the best everywhere, for 1.1 times the best rival in half of the cells, and for the same tokens", () => {
    const better = cellOf({ plan: [12], "whole-layer": [10], "ffn-first": [10] });
    const even = cellOf({ plan: [9.8], "whole-layer": [10], "ffn-first": [10] });
    const worse = cellOf({ plan: [9.6], "whole-layer": [9], "ffn-first": [10] });
    expect(judgeCells([better, even])).toMatchObject({ passed: true, numGained: 1 });
    expect(judgeCells([better, even, even])).toMatchObject({ passed: false, isNeverWorse: true, isOftenBetter: false });
    expect(judgeCells([better, worse])).toMatchObject({ passed: false, isNeverWorse: false, isOftenBetter: true });
    expect(judgeCells([{ ...better, differingTokens: 1 }])).toMatchObject({ passed: false, hasSameTokens: false });
  });
});

describe.runIf(hasAddon)("the gate", () => {
  it("plans, places and measures a cell, with predictions beside measurements", async () => {
    const { cells, machine } = await measureGate({ models: ["tiny"], shares: [0.9], depths: [32], rounds: 2, numTokens: 4 });
    expect(machine.devices.map(({ id }) => id)).toEqual(["cpu:0", "cpu:1"]);
    const [fast, slow] = machine.devices.map(({ rates }) => rates.weightBytesPerSecond.q4_0!);
    // Fourfold, on a machine that has other work to do.
    expect(fast! / slow!).toBeGreaterThan(2);
    expect(cells).toHaveLength(1);
    expect(cells[0]!.differingTokens).toBe(0);
    expect(cells[0]!.strategies.map(({ strategy }) => strategy)).toEqual(["plan", "whole-layer", "ffn-first"]);
    for (const { strategy, decode, prefill, bytes } of cells[0]!.strategies) {
      for (const { predicted, rounds } of [decode, prefill]) {
        expect(predicted, strategy).toBeGreaterThan(0);
        expect(rounds.every((speed) => speed > 0)).toBe(true);
      }
      const planned = Object.values(bytes!["cpu:0"] ?? {}).reduce((sum, byteLength) => sum + byteLength, 0);
      expect(planned, strategy).toBeLessThanOrEqual(cells[0]!.budgetBytes["cpu:0"]!);
    }
  }, 120_000);
});
