import { writeFileSync } from "node:fs";
import { openGguf } from "@thermocline/loader-gguf";
import type { OffloadPlan } from "@thermocline/spec";
import { beforeAll, describe, expect, it } from "vitest";
import { open } from "../src/index.js";
import { formatPlanMeasurements } from "../src/planning/format-plan-measurements.js";
import { type MeasurePlansProgress, measurePlans } from "../src/planning/measure-plans.js";
import { scaleWorkload } from "../src/planning/measure-workload.js";
import { temporaryFolder } from "./support/paths.js";
import { tinyModel } from "./support/tiny-model.js";

const inFolder = temporaryFolder();
const tinyPath = inFolder("tiny.gguf");
writeFileSync(tinyPath, tinyModel());

let whole: OffloadPlan;
let split: OffloadPlan;

beforeAll(async () => {
  await using source = await openGguf(tinyPath);
  const common = { version: 1, model: source.identity, settings: { contextLength: 64 } } as const;
  whole = { ...common, devices: { "reference:0": { backend: "reference" } }, units: [] };
  split = {
    ...common,
    devices: { "reference:0": { backend: "reference" }, "reference:1": { backend: "reference" } },
    units: [0, 1].map((half) => ({ id: "blk.0.feed-forward", device: `reference:${half}`, rows: [[half * 32, 32]] })),
  };
});

const workload = { promptTokens: 4, outputTokens: 4, contextDepth: 8, batch: 1 };

describe("measuring plans", () => {
  it("runs them in turns and says which takes the fewest seconds", async () => {
    const progress: MeasurePlansProgress[] = [];
    const result = await measurePlans(tinyPath, [whole, split], { workload, rounds: 2, onProgress: (step) => progress.push(step) });
    expect(result).toMatchObject({ workload, measured: workload, takesTurns: true });
    const measuring = progress.filter(({ stage }) => stage === "measuring").map(({ plan, round }) => [plan, round]);
    expect(measuring).toEqual([
      [0, -1],
      [1, -1],
      [0, 0],
      [1, 0],
      [0, 1],
      [1, 1],
    ]);
    expect(result.measurements.map(({ plan }) => plan)).toEqual([whole, split]);
    for (const { rounds, prefillTokensPerSecond, decodeTokensPerSecond, workloadSeconds } of result.measurements) {
      expect(rounds).toHaveLength(2);
      for (const name of ["prefillTokensPerSecond", "decodeTokensPerSecond"] as const)
        for (const round of rounds) expect(round[name]).toBeGreaterThan(0);
      expect(workloadSeconds).toBeCloseTo(4 / prefillTokensPerSecond + 4 / decodeTokensPerSecond, 9);
    }
    const seconds = result.measurements.map(({ workloadSeconds }) => workloadSeconds);
    expect(result.winner).toBe([whole, split][seconds.indexOf(Math.min(...seconds))]);
  });

  it("runs them one after the other where memory holds one but not all", async () => {
    const model = await open(tinyPath, { plan: whole, contextLength: 64 });
    const [report] = model.memory();
    const bytes = Object.values(report!.byteLengthByClass).reduce((sum, byteLength) => sum + byteLength);
    await model[Symbol.asyncDispose]();
    const options = { workload, rounds: 1, budgetBytes: Math.floor(1.5 * bytes) };
    const result = await measurePlans(tinyPath, [whole, whole], options);
    expect(result.takesTurns).toBe(false);
    expect(result.measurements.map(({ rounds }) => rounds.length)).toEqual([1, 1]);
    expect(formatPlanMeasurements(result)).toContain("one plan after the other");
  });

  it("decodes the sequences of a batch together", async () => {
    const plan = { ...whole, settings: { contextLength: 64, maxSequences: 3 }, workload: { ...workload, batch: 3 } };
    const { measured, measurements } = await measurePlans(tinyPath, [plan], { rounds: 1 });
    expect(measured.batch).toBe(3);
    expect(measurements[0]!.decodeTokensPerSecond).toBeGreaterThan(0);
  });

  it("scales a workload down to what is affordable and to the context, and says so", async () => {
    const large = { promptTokens: 512, outputTokens: 256, contextDepth: 32768, batch: 2 };
    const limits = { promptTokens: 256, outputTokens: 32, contextDepth: 1024, batch: 2 };
    expect(scaleWorkload(large, limits, 65536)).toEqual({ promptTokens: 256, outputTokens: 32, contextDepth: 1024, batch: 2 });
    expect(scaleWorkload(workload, limits, 65536)).toEqual(workload);
    for (const contextLength of [16, 64, 300, 1000]) {
      const { promptTokens, outputTokens, contextDepth } = scaleWorkload(large, limits, contextLength);
      expect(promptTokens).toBeGreaterThan(0);
      expect(outputTokens).toBeGreaterThan(0);
      expect(promptTokens + outputTokens + contextDepth).toBeLessThanOrEqual(contextLength);
    }
    const result = await measurePlans(tinyPath, [whole], { workload: large, limits: { batch: 1 }, rounds: 1 });
    expect(result.measured.batch).toBe(1);
    expect(formatPlanMeasurements(result).split("\n").slice(0, 2)).toEqual([
      "measured 24 prompt and 16 output tokens behind 16 others; 1 rounds, plans in turns",
      "workload 512 prompt and 256 output tokens of 2 sequences behind 32768 others, at the measured speeds; * takes the fewest seconds",
    ]);
  });

  it("puts what a plan predicts beside what was measured", async () => {
    const plan: OffloadPlan = { ...whole, workload, predicted: { prefillSeconds: 0.5, secondsPerToken: 0.25 } };
    const [, , header, row] = formatPlanMeasurements(await measurePlans(tinyPath, [plan], { rounds: 1 }), ["mine"]).split("\n");
    expect(header).toMatch(/plan +prefill tok\/s +predicted +decode tok\/s +predicted +workload s$/);
    expect(row).toMatch(/^\* +mine +[\d.]+ +8\.0 +[\d.]+ +4\.00 +[\d.]+$/);
    const withoutPrompt = { ...plan, workload: { ...workload, promptTokens: 0 } };
    const result = await measurePlans(tinyPath, [withoutPrompt], { rounds: 1 });
    expect(result.measured.promptTokens).toBe(1);
    expect(result.measurements[0]!.workloadSeconds).toBeCloseTo(4 / result.measurements[0]!.decodeTokensPerSecond, 9);
    expect(formatPlanMeasurements(result, ["mine"]).split("\n").at(-1)).toMatch(/^\* +mine +[\d.]+ +[\d.]+ +4\.00 +[\d.]+$/);
  });

  it("refuses devices that this machine does not have, and what cannot be measured", async () => {
    const cuda: OffloadPlan = { ...whole, devices: { "cuda:7": { backend: "cuda" } } };
    await expect(measurePlans(tinyPath, [whole, cuda], { workload })).rejects.toMatchObject({ code: "backend-unavailable" });
    await expect(measurePlans(tinyPath, [])).rejects.toMatchObject({ code: "invalid-request", parameter: "plans" });
    await expect(measurePlans(tinyPath, [whole], { rounds: 0 })).rejects.toMatchObject({ parameter: "rounds" });
    const none = { ...workload, outputTokens: -1 };
    await expect(measurePlans(tinyPath, [whole], { workload: none })).rejects.toMatchObject({ parameter: "workload.outputTokens" });
  });

  it("ends with the signal's reason while it measures", async () => {
    const stop = new AbortController();
    const onProgress = ({ round }: MeasurePlansProgress) => round === 1 && stop.abort(new Error("enough"));
    await expect(measurePlans(tinyPath, [whole, split], { workload, rounds: 100, signal: stop.signal, onProgress })).rejects.toThrow(
      "enough",
    );
  });
});
