import { describe, expect, it } from "vitest";
import { type Backend, createMemoryLedger, InsufficientMemoryError, type MemoryRequest, ThermoclineError } from "../src/index.js";

const request = (device: string, byteLength: number, label = "bytes"): MemoryRequest => ({
  device,
  owner: "model",
  class: "weights",
  byteLength,
  label,
});

describe("a memory ledger", () => {
  it("reserves all requests or none", () => {
    const ledger = createMemoryLedger({ "cpu:0": 100, "cuda:0": 50 });
    expect(() => ledger.reserve([request("cpu:0", 60), request("cuda:0", 51)])).toThrow(InsufficientMemoryError);
    expect(ledger.report()).toEqual([]);
    expect(() => ledger.reserve([request("cpu:0", 60), request("cpu:0", 41)])).toThrow(InsufficientMemoryError);
    expect(ledger.available("cpu:0")).toBe(100);
    const reservations = ledger.reserve([request("cpu:0", 60), request("cpu:0", 40), request("cuda:0", 50)]);
    expect(ledger.report()).toEqual(reservations);
    expect([ledger.available("cpu:0"), ledger.available("cuda:0")]).toEqual([0, 0]);
  });

  it("gives bytes back once, however often a reservation is disposed", () => {
    const ledger = createMemoryLedger({ "cpu:0": 100 });
    const [first] = ledger.reserve([request("cpu:0", 30), request("cpu:0", 20)]);
    first![Symbol.dispose]();
    first![Symbol.dispose]();
    expect(ledger.available("cpu:0")).toBe(80);
    expect(ledger.report()).toHaveLength(1);
  });

  it("refuses with device, need, have, holders and a cure", () => {
    const ledger = createMemoryLedger({ "cpu:0": 100 });
    ledger.reserve([request("cpu:0", 70, "held")]);
    let error: unknown;
    try {
      ledger.reserve([request("cpu:0", 31)]);
    } catch (thrown) {
      error = thrown;
    }
    expect(ThermoclineError.isInstance(error)).toBe(true);
    expect(error).toMatchObject({
      code: "insufficient-memory",
      device: "cpu:0",
      needBytes: 31,
      haveBytes: 30,
      name: "InsufficientMemoryError",
    });
    expect((error as InsufficientMemoryError).holders.map(({ label }) => label)).toEqual(["held"]);
    expect((error as Error).message).toMatch(/needs 31 bytes, 30 are free, held by model weights \(70\); lower the context length/);
    expect(JSON.parse(JSON.stringify(error))).toMatchObject({ code: "insufficient-memory", needBytes: 31 });
  });

  it("knows no bytes on a device without a budget, and takes a budget later", () => {
    const ledger = createMemoryLedger();
    expect(() => ledger.reserve([request("cuda:1", 1)])).toThrow(/has no budget/);
    ledger.setBudget("cuda:1", 10);
    ledger.reserve([request("cuda:1", 10)]);
    ledger.setBudget("cuda:1", 4);
    expect(ledger.available("cuda:1")).toBe(-6);
    expect(() => ledger.reserve([request("cuda:1", 1)])).toThrow(InsufficientMemoryError);
  });

  it.each([-1, 0.5, Number.NaN, Number.NEGATIVE_INFINITY])("takes %d bytes for a bug of its caller", (byteLength) => {
    const ledger = createMemoryLedger({ "cpu:0": Number.MAX_SAFE_INTEGER });
    expect(() => ledger.reserve([request("cpu:0", byteLength)])).toThrow(RangeError);
    expect(ledger.report()).toEqual([]);
  });

  it.each([2 ** 53, 2 ** 60, 1e300, Number.POSITIVE_INFINITY])("has no room for %d bytes, whatever the budget", (byteLength) => {
    for (const budgetBytes of [100, Number.MAX_SAFE_INTEGER, Number.POSITIVE_INFINITY]) {
      const ledger = createMemoryLedger({ "cpu:0": budgetBytes });
      expect(() => ledger.reserve([request("cpu:0", byteLength)])).toThrow(InsufficientMemoryError);
      expect(ledger.report()).toEqual([]);
    }
  });

  it("lets an unbounded device hold what can be counted exactly, and no more", () => {
    const ledger = createMemoryLedger({ "cpu:0": Number.POSITIVE_INFINITY });
    ledger.reserve([request("cpu:0", 2 ** 52)]);
    expect(ledger.available("cpu:0")).toBe(Number.POSITIVE_INFINITY);
    expect(() => ledger.reserve([request("cpu:0", 2 ** 52)])).toThrow(InsufficientMemoryError);
    expect(ledger.reserve([request("cpu:0", 2 ** 52 - 1)])).toHaveLength(1);
  });

  it.each([Number.NaN, -1, Number.NEGATIVE_INFINITY, "8GiB" as unknown as number])("refuses a budget of %s", (budgetBytes) => {
    const refusal = expect.objectContaining({ code: "invalid-request", parameter: "budgetBytes", value: budgetBytes });
    const ledger = createMemoryLedger({ "cpu:0": 10 });
    for (const set of [() => ledger.setBudget("cpu:0", budgetBytes), () => void createMemoryLedger({ "cpu:0": budgetBytes })])
      expect(set).toThrow(refusal);
    expect(ledger.budget("cpu:0")).toBe(10);
  });

  it("takes budgets of 0 and of Infinity", () => {
    const ledger = createMemoryLedger({ "cpu:0": 0 });
    expect(() => ledger.reserve([request("cpu:0", 1)])).toThrow(InsufficientMemoryError);
    ledger.setBudget("cpu:0", Number.POSITIVE_INFINITY);
    expect(ledger.reserve([request("cpu:0", 1)])).toHaveLength(1);
  });
});

it("an allocation without a ledger's reservation does not compile", () => {
  const allocateFromPlainObject = (backend: Backend) =>
    // @ts-expect-error: a plain object lacks the mark that only a ledger's reservation has
    backend.allocate({ ...request("cpu:0", 1), [Symbol.dispose]() {} });
  expect(allocateFromPlainObject).toBeTypeOf("function");
});
