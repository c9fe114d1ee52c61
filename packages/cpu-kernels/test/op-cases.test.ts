import { opNames } from "@thermocline/spec";
import { afterAll, describe, expect, it } from "vitest";
import { opCases, runOpCase } from "../src/op-cases/index.js";
import { createReferenceBackend } from "../src/reference/index.js";

const reference = createReferenceBackend();
afterAll(() => reference[Symbol.asyncDispose]());

describe("the reference backend", () => {
  it.each(opCases.map((opCase) => [opCase.name, opCase] as const))("%s", async (_, opCase) => {
    expect(await runOpCase(opCase, reference)).toEqual({ status: "passed", detail: "" });
    expect(reference.statistics().allocatedBytes).toBe(0);
  });
});

describe("the table", () => {
  it("has cases with unique names for every op that computes", () => {
    expect(new Set(opCases.map(({ name }) => name)).size).toBe(opCases.length);
    expect(new Set(opCases.map(({ op }) => op))).toEqual(new Set(opNames.filter((op) => op !== "signal" && op !== "wait")));
  });
});
