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

  it.each([-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 60])("refuses %d bytes", (byteLength) => {
    const ledger = createMemoryLedger({ "cpu:0": Number.MAX_SAFE_INTEGER });
    expect(() => ledger.reserve([request("cpu:0", byteLength)])).toThrow(RangeError);
    expect(ledger.report()).toEqual([]);
  });
});

it("an allocation without a ledger's reservation does not compile", () => {
  const allocateFromPlainObject = (backend: Backend) =>
    // @ts-expect-error: a plain object lacks the mark that only a ledger's reservation has
    backend.allocate({ ...request("cpu:0", 1), [Symbol.dispose]() {} });
  expect(allocateFromPlainObject).toBeTypeOf("function");
});
