import { InvalidPlanError, type OffloadPlan, type OffloadPlanUnit } from "@thermocline/spec";
import { describe, expect, it } from "vitest";
import { parsePlan, validatePlan } from "../../src/index.js";
import { model, units } from "../support/example-units.js";

const devices = { "cpu:0": { backend: "cpu" }, "reference:0": { backend: "reference" } };
const good: OffloadPlan = { version: 1, model, devices, units: [{ id: "head", device: "reference:0" }] };
const withUnits = (...entries: OffloadPlanUnit[]): OffloadPlan => ({ ...good, units: entries });
const withDevice = (fields: object) => ({ ...good, devices: { "cpu:0": { backend: "cpu", ...fields } }, units: [] });
const solver = { name: "greedy", version: "0.1.0", status: "feasible", boundSeconds: 1, gap: 0.01 } as const;
const ffn = (device: string, ...rows: [number, number][]): OffloadPlanUnit => ({ id: "blk.0.feed-forward", device, rows });

function refusal(action: () => unknown): InvalidPlanError {
  try {
    action();
  } catch (error) {
    expect(error).toBeInstanceOf(InvalidPlanError);
    return error as InvalidPlanError;
  }
  throw new Error("nothing was refused");
}

describe("parsePlan refuses what is no plan, naming the path", () => {
  const cases: readonly [what: string, json: unknown, subject: string, problem: RegExp, cure: RegExp][] = [
    ["text that is no JSON", "{,}", "text", /no JSON/, /syntax/],
    ["a number", 7, "document", /is 7/, /an object/],
    ["null", null, "document", /is null/, /an object/],
    ["another version", { ...good, version: 2, units: "new form" }, "version", /is 2/, /version 1/],
    ["a version that is text", { ...good, version: "1" }, "version", /is "1"/, /an integer/],
    ["no version", { model, devices, units: [] }, "document", /lacks "version"/, /add it/],
    ["no model", { version: 1, devices, units: [] }, "document", /lacks "model"/, /add it: Identity/],
    ["an empty model", { ...good, model: "" }, "model", /is empty/, /name/],
    ["no devices", { ...good, devices: {} }, "devices", /is empty/, /at least 1/],
    ["devices as a list", { ...good, devices: ["cpu:0"] }, "devices", /an array/, /an object/],
    ["a device id without an index", { ...good, devices: { cpu: { backend: "cpu" } } }, "devices", /"cpu"/, /cpu:0/],
    ["a device without a backend", { ...good, devices: { "cpu:0": {} } }, 'devices["cpu:0"]', /lacks "backend"/, /add it/],
    [
      "no threads at all",
      { ...good, devices: { "cpu:0": { backend: "cpu", threads: 0 } } },
      'devices["cpu:0"].threads',
      /is 0/,
      /at least 1/,
    ],
    [
      "half a thread",
      { ...good, devices: { "cpu:0": { backend: "cpu", threads: 1.5 } } },
      'devices["cpu:0"].threads',
      /is 1.5/,
      /an integer/,
    ],
    ["an entry without a device", { ...good, units: [{ id: "head" }] }, "units[0]", /lacks "device"/, /add it/],
    ["a misspelt field", { ...good, units: [{ id: "head", device: "cpu:0", row: [[0, 1]] }] }, "units[0]", /unknown field "row"/, /rows/],
    ["a field of every object", { ...good, constructor: 1 }, "document", /unknown field "constructor"/, /known are version/],
    ["empty rows", { ...good, units: [{ ...ffn("cpu:0"), rows: [] }] }, "units[0].rows", /0 elements/, /leave the field out/],
    ["a range of one number", { ...good, units: [{ ...ffn("cpu:0"), rows: [[0]] }] }, "units[0].rows[0]", /1 element;/, /write 2/],
    ["a range of three numbers", { ...good, units: [{ ...ffn("cpu:0"), rows: [[0, 1, 2]] }] }, "units[0].rows[0]", /3 elements/, /write 2/],
    ["a range without rows", withUnits(ffn("cpu:0", [0, 0])), "units[0].rows[0][1]", /is 0/, /at least 1/],
    ["a negative row", withUnits(ffn("cpu:0", [-32, 64])), "units[0].rows[0][0]", /is -32/, /at least 0/],
    ["a row too large for a number", withUnits(ffn("cpu:0", [2 ** 60, 32])), "units[0].rows[0][0]", /is 1152921504606847000/, /an integer/],
    ["an unknown memory class", { ...good, bytes: { "cpu:0": { heap: 1 } } }, 'bytes["cpu:0"]', /unknown field "heap"/, /weights/],
    [
      "endless time",
      { ...good, predicted: { prefillSeconds: 1, secondsPerToken: Number.NaN } },
      "predicted.secondsPerToken",
      /NaN/,
      /finite/,
    ],
    ["a negative reserve", withDevice({ reserveBytes: -1 }), 'devices["cpu:0"].reserveBytes', /is -1/, /at least 0/],
    [
      "a dtype that there is not",
      { ...good, settings: { keyCacheDType: "q8_8" } },
      "settings.keyCacheDType",
      /is "q8_8"/,
      /one of f32, f16/,
    ],
    ["a context of no tokens", { ...good, settings: { contextLength: 0 } }, "settings.contextLength", /is 0/, /at least 1/],
    ["an unknown setting", { ...good, settings: { context: 4096 } }, "settings", /unknown field "context"/, /contextLength/],
    [
      "a workload without a batch",
      { ...good, workload: { promptTokens: 1, outputTokens: 1, contextDepth: 0 } },
      "workload",
      /"batch"/,
      /add it/,
    ],
    [
      "a frequency above one",
      withUnits({ id: "head", device: "cpu:0", activationFrequency: 1.5 }),
      "units[0].activationFrequency",
      /is 1.5/,
      /at most 1/,
    ],
    [
      "half a byte",
      withUnits({ id: "head", device: "cpu:0", kvCacheByteLength: 0.5 }),
      "units[0].kvCacheByteLength",
      /is 0.5/,
      /an integer/,
    ],
    [
      "a solver that is not sure",
      { ...good, solver: { ...solver, status: "likely" } },
      "solver.status",
      /"likely"/,
      /one of optimal, feasible/,
    ],
    ["a gap above one", { ...good, solver: { ...solver, gap: 2 } }, "solver.gap", /is 2/, /at most 1/],
    ["an estimate without words", { ...good, estimates: [""] }, "estimates[0]", /is empty/, /sentence/],
    ["a machine without a source", { ...good, machine: { name: "mine" } }, "machine", /lacks "source"/, /add it/],
    ["a summary of half the model", { ...good, summary: { name: "Llama" } }, "summary", /lacks "architecture"/, /add it/],
    ["a comparison with itself", { ...good, comparison: [{ strategy: "plan" }] }, "comparison[0]", /lacks "contextDepth"/, /add it/],
    ["half a prediction", { ...good, predicted: { prefillSeconds: 1 } }, "predicted", /lacks "secondsPerToken"/, /add it/],
  ];
  it.each(cases)("%s", (_what, json, subject, problem, cure) => {
    const error = refusal(() => parsePlan(json));
    expect(error.subject).toBe(subject);
    expect(error.message).toMatch(problem);
    expect(error.cure).toMatch(cure);
  });

  it("says the same of the text of a plan as of its value", () => {
    const bad = { ...good, units: [{ id: "head", device: 3 }] };
    expect(refusal(() => parsePlan(JSON.stringify(bad))).message).toBe(refusal(() => parsePlan(bad)).message);
  });
});

describe("parsePlan", () => {
  it("accepts a plan with every field that there is", () => {
    const full: Required<OffloadPlan> = {
      version: 1,
      model,
      devices: { "cpu:0": { backend: "cpu", threads: 2, budgetBytes: 0, reserveBytes: 0, name: "" } },
      units: [
        {
          id: "head",
          device: "cpu:0",
          rows: [[0, 32]],
          byteLength: 5,
          kvCacheByteLength: 1,
          reason: "",
          predictedSeconds: 0.5,
          activationFrequency: 1,
        },
      ],
      summary: { name: "", architecture: "llama", quantisation: "q8_0", numLayers: 2, contextLength: 256, weightBytes: 7 },
      settings: {
        contextLength: 1,
        maxBatchTokens: 2,
        maxSequences: 3,
        kvCacheTokens: 4,
        keyCacheDType: "f16",
        valueCacheDType: "q8_0",
        maxScoredTokens: 5,
      },
      workload: { promptTokens: 0, outputTokens: 1, contextDepth: 0, batch: 1 },
      machine: { name: "mine", source: "measured" },
      solver,
      bytes: { "cpu:0": { weights: 1, "kv-cache": 2 } },
      estimates: ["Activations are an upper bound."],
      predicted: { prefillSeconds: 0, secondsPerToken: 0.1, workloadSeconds: 2 },
      comparison: [{ strategy: "plan", contextDepth: 128, prefillTokensPerSecond: 2, decodeTokensPerSecond: 1 }],
    };
    expect(parsePlan(JSON.stringify(full))).toEqual(full);
    expect(parsePlan(full)).toBe(full);
  });

  it("treats an undefined field as absent", () => {
    expect(() => parsePlan({ ...good, predicted: undefined })).not.toThrow();
  });
});

describe("validatePlan refuses a plan that cannot be carried out, naming unit or device", () => {
  const cpu = "cpu:0";
  const other = "reference:0";
  const subject = "unit blk.0.feed-forward";
  const everyUnit = units.map(({ id }) => ({ id, device: cpu }));
  const target = { model, units, devices: [cpu, other], contextLength: 8192 };
  const cases: readonly [what: string, plan: OffloadPlan, subject: string, problem: RegExp, cure: RegExp][] = [
    ["another version", { ...good, version: 3 as 1 }, "version", /is 3/, /version 1/],
    ["another model", { ...good, model: "00ff" }, "model", /is 00ff, the file is 3f9a1c2b/, /new plan/],
    ["an unknown unit", withUnits({ id: "blk.2.attention", device: cpu }), "unit blk.2.attention", /no unit/, /6 units/],
    ["an undeclared device", withUnits({ id: "head", device: "cuda:0" }), "unit head", /cuda:0/, /cpu:0, reference:0/],
    [
      "a device that is not there",
      { ...good, devices: { ...devices, "cuda:0": { backend: "cuda" } } },
      "device cuda:0",
      /not there/,
      /cpu:0/,
    ],
    ["bytes of an undeclared device", { ...good, bytes: { "cuda:0": { weights: 1 } } }, 'bytes["cuda:0"]', /not declare/, /declare/],
    ["a row on two devices", withUnits(ffn(cpu, [0, 416]), ffn(other, [384, 384])), subject, /384 to 415 twice, on cpu:0/, /one device/],
    ["a row twice on one device", withUnits(ffn(cpu, [0, 416]), ffn(cpu, [384, 384])), subject, /384 to 415 twice/, /one device/],
    ["a range within another", withUnits(ffn(cpu, [0, 768]), ffn(other, [32, 32])), subject, /32 to 63 twice/, /one device/],
    [
      "a unit whole and in part",
      withUnits({ id: "blk.0.feed-forward", device: cpu }, ffn(other, [0, 32])),
      subject,
      /0 to 31 twice/,
      /one device/,
    ],
    [
      "a unit with rows whole on two",
      withUnits({ id: "blk.0.feed-forward", device: cpu }, { id: "blk.0.feed-forward", device: other }),
      subject,
      /0 to 767 twice/,
      /one device/,
    ],
    ["rows missing at the start", withUnits(ffn(cpu, [32, 736])), subject, /lacks rows 0 to 31/, /completely/],
    ["rows missing in the middle", withUnits(ffn(cpu, [0, 384]), ffn(other, [416, 352])), subject, /lacks rows 384 to 415/, /completely/],
    ["rows missing at the end", withUnits(ffn(cpu, [0, 384])), subject, /lacks rows 384 to 767/, /completely/],
    ["ranges out of order", withUnits(ffn(cpu, [384, 384], [0, 384])), subject, /before row 768/, /sort/],
    ["ranges that overlap", withUnits(ffn(cpu, [0, 384], [352, 416])), subject, /before row 384/, /overlaps/],
    ["rows past the end", withUnits(ffn(cpu, [0, 800])), subject, /past its 768 rows/, /row 767/],
    ["a block cut at the end", withUnits(ffn(cpu, [0, 400]), ffn(other, [400, 368])), subject, /cut at row 400/, /multiple of 32/],
    ["a block cut at the start", withUnits(ffn(cpu, [0, 32]), ffn(cpu, [48, 720])), subject, /cut at row 48/, /multiple of 32/],
    [
      "rows of a unit without rows",
      withUnits({ id: "head", device: cpu, rows: [[0, 32]] }),
      "unit head",
      /cannot be split/,
      /remove "rows"/,
    ],
    [
      "more kept free than there is",
      withDevice({ budgetBytes: 100, reserveBytes: 101 }),
      'devices["cpu:0"].reserveBytes',
      /is 101, more than the budget of 100 bytes/,
      /lower the reserve/,
    ],
    [
      "more bytes than the budget holds",
      { ...withDevice({ budgetBytes: 100 }), units: everyUnit, bytes: { "cpu:0": { weights: 60, "kv-cache": 41 } } },
      'bytes["cpu:0"]',
      /sum to 101, more than the budget of 100 bytes/,
      /place less/,
    ],
    [
      "bytes that leave less than the reserve",
      { ...withDevice({ budgetBytes: 100, reserveBytes: 20 }), units: everyUnit, bytes: { "cpu:0": { weights: 81, reserve: 20 } } },
      'bytes["cpu:0"]',
      /sum to 81 beside a reserve of 20, more than the budget of 100 bytes/,
      /raise its budget/,
    ],
    [
      "a unit missing though all bytes are stated",
      { ...good, units: everyUnit.filter(({ id }) => id !== "blk.1.attention"), bytes: { [cpu]: { weights: 1 } } },
      "unit blk.1.attention",
      /is missing/,
      /add an entry for it, or remove "bytes" to leave it to the first device, cpu:0/,
    ],
    [
      "more cache than bytes in all",
      withUnits({ id: "blk.0.attention", device: cpu, byteLength: 10, kvCacheByteLength: 11 }),
      "unit blk.0.attention",
      /11 bytes of KV cache among 10 bytes on cpu:0/,
      /correct "byteLength"/,
    ],
    [
      "a context past the model's",
      { ...good, settings: { contextLength: 8193 } },
      "settings.contextLength",
      /is 8193, the model was trained for 8192/,
      /at most 8192/,
    ],
    [
      "a workload past the context",
      { ...good, settings: { contextLength: 512 }, workload: { promptTokens: 256, outputTokens: 256, contextDepth: 1, batch: 1 } },
      "workload",
      /to 513 tokens, past the context of 512/,
      /raise settings.contextLength/,
    ],
    [
      "more requests at a time than sequences",
      { ...good, settings: { maxSequences: 2 }, workload: { promptTokens: 1, outputTokens: 1, contextDepth: 0, batch: 3 } },
      "workload.batch",
      /is 3, the settings allow 2 at a time/,
      /raise settings.maxSequences/,
    ],
    [
      "a unit without rows twice",
      withUnits({ id: "head", device: cpu }, { id: "head", device: other }),
      "unit head",
      /placed 2 times \(cpu:0, reference:0\)/,
      /one entry/,
    ],
  ];
  it.each(cases)("%s", (_what, plan, wanted, problem, cure) => {
    const error = refusal(() => validatePlan(plan, target));
    expect(error.subject).toBe(wanted);
    expect(error.message).toMatch(problem);
    expect(error.cure).toMatch(cure);
    expect(error.code).toBe("invalid-plan");
  });

  it("says of every refusal what to do", () => {
    for (const [, plan] of cases) expect(refusal(() => validatePlan(plan, target)).cure.length).toBeGreaterThan(10);
  });

  it("takes the model's longest context from the plan where the target does not say", () => {
    const summary = { name: "", architecture: "llama", quantisation: "q8_0", numLayers: 2, contextLength: 256, weightBytes: 7 };
    const long = { ...good, settings: { contextLength: 512 } };
    expect(() => validatePlan(long, { model, units })).not.toThrow();
    expect(refusal(() => validatePlan({ ...long, summary }, { model, units })).message).toMatch(/trained for 256/);
  });
});
