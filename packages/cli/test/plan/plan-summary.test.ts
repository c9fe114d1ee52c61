import type { OffloadPlan } from "@thermocline/spec";
import { describe, expect, it } from "vitest";
import { formatSeconds, summarizePlan } from "../../src/planning/plan-summary.js";

const plan = (...units: OffloadPlan["units"]): OffloadPlan => ({
  version: 1,
  model: "a model",
  devices: {
    "cuda:0": { backend: "cuda", budgetBytes: 1000, name: "GeForce RTX 4060" },
    "cpu:0": { backend: "cpu", budgetBytes: 1000, name: "CPU, 8 cores" },
    "cpu:1": { backend: "cpu", budgetBytes: 1000, name: "CPU, 8 cores" },
  },
  bytes: { "cuda:0": { weights: 600 }, "cpu:0": { weights: 300 } },
  units,
});
/** Runs of spaces and breaks of lines as one space. */
const wordsOf = (text: string) => text.replaceAll(/\s+/g, " ");

describe("a plan's summary", () => {
  it("calls the GPU's memory the limit only where it has no room for what lies elsewhere", () => {
    const head = { id: "head", device: "cuda:0", byteLength: 600 };
    const asked = { id: "blk.0.attention", device: "cpu:0", byteLength: 300, reason: "pinned by you: blk.0.attn" };
    const text = wordsOf(summarizePlan(plan(head, asked)));
    expect(text).toContain("limit where units lie, not memory: 300 B lie on the CPU, pinned by you: blk.0.attn; cuda:0 has 400 B left");
    expect(wordsOf(summarizePlan(plan(head, { ...asked, byteLength: 500 })))).toContain("limit the GPU's memory: 500 B lie on the CPU");
  });

  it("names no GPU where none holds anything", () => {
    const { devices, ...rest } = plan({ id: "head", device: "cpu:0" }, { id: "blk.0.attention", device: "cpu:1" });
    const { "cuda:0": _, ...cpus } = devices;
    expect(wordsOf(summarizePlan({ ...rest, devices: cpus }))).toContain(
      "limit the speed of the devices: all of it lies on cpu:0 and cpu:1",
    );
  });

  it("says as what a machine is reckoned that only sizes describe", () => {
    const described = {
      ...plan({ id: "head", device: "cuda:0" }),
      machine: { name: "GPU with 8 GiB", source: "assumed from sizes alone" },
    };
    expect(wordsOf(summarizePlan(described))).toContain("reckoned as cuda:0 GeForce RTX 4060; cpu:0 CPU, 8 cores");
    const measured = { ...described, machine: { name: "GPU with 8 GiB", source: "measured" } };
    expect(summarizePlan(measured)).not.toContain("reckoned");
  });
});

describe("a summary's prediction", () => {
  const predicted = { prefillSeconds: 0.2, secondsPerToken: 0.1 };
  const workload = { promptTokens: 86, outputTokens: 42, contextDepth: 0, batch: 1 };
  const described = { ...plan({ id: "head", device: "cuda:0" }), predicted, workload };

  it("is of a prompt and of the tokens after it, and of a text alone where the model keeps no keys and values", () => {
    const bytes = { "cuda:0": { weights: 600, "kv-cache": 100 } };
    expect(wordsOf(summarizePlan({ ...described, bytes }))).toContain(
      "predicted first token of a prompt of 86 after 200 ms, then 10.0 tok/s",
    );
    expect(wordsOf(summarizePlan(described))).toContain("predicted a text of 86 tokens in 200 ms limit");
  });
});

describe("formatSeconds", () => {
  it.each([
    [0.00038, "0.38 ms"],
    [0.0452, "45 ms"],
    [0.0997, "100 ms"],
    [0.6374, "637 ms"],
    [0.9996, "1.0 s"],
    [80.83, "80.8 s"],
    [123.4, "123 s"],
  ])("of %f is %s", (seconds, text) => {
    expect(formatSeconds(seconds)).toBe(text);
  });
});
