import { InvalidPlanError, type OffloadPlan, type OffloadPlanUnit } from "@thermocline/spec";
import { describe, expect, it } from "vitest";
import { offloadPlanSchema, parsePlan, validatePlan } from "../src/index.js";
import { model, units } from "./example-units.js";

const devices = { "cpu:0": { backend: "cpu" }, "reference:0": { backend: "reference" } };
const good: OffloadPlan = { version: 1, model, devices, units: [{ id: "head", device: "reference:0" }] };
const withUnits = (...entries: OffloadPlanUnit[]): OffloadPlan => ({ ...good, units: entries });
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
    const full: OffloadPlan = {
      version: 1,
      model,
      devices: { "cpu:0": { backend: "cpu", threads: 2, budgetBytes: 0 } },
      units: [{ id: "head", device: "cpu:0", rows: [[0, 32]], byteLength: 5, reason: "", predictedSeconds: 0.5 }],
      bytes: { "cpu:0": { weights: 1, "kv-cache": 2 } },
      predicted: { prefillSeconds: 0, secondsPerToken: 0.1 },
    };
    expect(parsePlan(JSON.stringify(full))).toEqual(full);
    expect(parsePlan(full)).toBe(full);
  });

  it("treats an undefined field as absent", () => {
    expect(() => parsePlan({ ...good, predicted: undefined })).not.toThrow();
  });

  it("checks against a schema that is plain data", () => {
    expect(JSON.parse(JSON.stringify(offloadPlanSchema))).toEqual(offloadPlanSchema);
  });
});

describe("validatePlan refuses a plan that cannot be carried out, naming unit or device", () => {
  const cpu = "cpu:0";
  const other = "reference:0";
  const subject = "unit blk.0.feed-forward";
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
      "a unit without rows twice",
      withUnits({ id: "head", device: cpu }, { id: "head", device: other }),
      "unit head",
      /placed 2 times \(cpu:0, reference:0\)/,
      /one entry/,
    ],
  ];
  it.each(cases)("%s", (_what, plan, wanted, problem, cure) => {
    const error = refusal(() => validatePlan(plan, { model, units, devices: [cpu, other] }));
    expect(error.subject).toBe(wanted);
    expect(error.message).toMatch(problem);
    expect(error.cure).toMatch(cure);
    expect(error.code).toBe("invalid-plan");
  });

  it("says of every refusal what to do", () => {
    for (const [, plan] of cases)
      expect(refusal(() => validatePlan(plan, { model, units, devices: [cpu, other] })).cure.length).toBeGreaterThan(10);
  });
});
