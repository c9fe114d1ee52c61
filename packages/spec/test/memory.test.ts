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

describe("a standing reserve", () => {
  it("stays free for as long as it is set, before and after a model is there, and is named where it is in the way", () => {
    const ledger = createMemoryLedger({ "cuda:0": 100 });
    ledger.setReserve("cuda:0", 30);
    expect([ledger.available("cuda:0"), ledger.standingReserve("cuda:0"), ledger.standingReserve("cpu:0")]).toEqual([70, 30, 0]);
    const [held] = ledger.reserve([request("cuda:0", 70)]);
    expect(() => ledger.reserve([request("cuda:0", 1)])).toThrow(/0 are free, held by model weights \(70\), standing reserve \(30\);/);
    ledger.setReserve("cuda:0", 20);
    ledger.reserve([request("cuda:0", 10)]);
    held![Symbol.dispose]();
    ledger.setReserve("cuda:0", 95);
    expect(ledger.available("cuda:0")).toBe(-5);
  });

  it.each([Number.NaN, -1])("of %s bytes is refused", (bytes) => {
    const refusal = expect.objectContaining({ code: "invalid-request", parameter: "reserveBytes", value: bytes });
    expect(() => createMemoryLedger().setReserve("cpu:0", bytes)).toThrow(refusal);
  });
});

describe("a guaranteed minimum", () => {
  const of = (owner: string, byteLength: number) => ({ ...request("cuda:0", byteLength), owner });

  it("is kept from others, used first by its owner, and no limit to it", () => {
    const ledger = createMemoryLedger({ "cuda:0": 100 });
    const guarantee = ledger.guarantee("a", "cuda:0", 60);
    expect(ledger.guarantees()).toEqual([guarantee]);
    expect([ledger.available("cuda:0"), ledger.available("cuda:0", "a"), ledger.available("cuda:0", "b")]).toEqual([40, 100, 40]);
    expect(() => ledger.reserve([of("b", 41)])).toThrow(/needs 41 bytes, 40 are free, held by guaranteed to a \(60\);/);
    const [some] = ledger.reserve([of("a", 50)]);
    expect(ledger.available("cuda:0", "b")).toBe(40);
    ledger.reserve([of("b", 10)]);
    expect(() => ledger.reserve([of("b", 31)])).toThrow(/held by a weights \(50\), b weights \(10\), guaranteed to a \(10\);/);
    const [more] = ledger.reserve([of("a", 40)]);
    expect([ledger.available("cuda:0", "a"), ledger.available("cuda:0", "b")]).toEqual([0, 0]);
    more![Symbol.dispose]();
    some![Symbol.dispose]();
    expect(ledger.available("cuda:0", "b")).toBe(30);
    guarantee[Symbol.dispose]();
    guarantee[Symbol.dispose]();
    expect([ledger.available("cuda:0", "b"), ledger.guarantees()]).toEqual([90, []]);
  });

  it("is refused where the bytes are not there, and adds to others of its owner", () => {
    const ledger = createMemoryLedger({ "cuda:0": 100 });
    ledger.setReserve("cuda:0", 10);
    ledger.guarantee("a", "cuda:0", 30);
    ledger.guarantee("a", "cuda:0", 30);
    expect(() => ledger.guarantee("b", "cuda:0", 31)).toThrow(InsufficientMemoryError);
    expect(() => ledger.guarantee("b", "cuda:1", 1)).toThrow(/has no budget/);
    ledger.reserve([of("a", 20), of("a", 50)]);
    expect(ledger.available("cuda:0")).toBe(20);
    ledger.guarantee("b", "cuda:0", 20);
    expect(() => ledger.reserve([of("a", 1)])).toThrow(InsufficientMemoryError);
    expect(ledger.guarantees().map(({ owner, byteLength }) => [owner, byteLength])).toEqual([
      ["a", 30],
      ["a", 30],
      ["b", 20],
    ]);
  });

  it.each([-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY])("of %s bytes is refused", (byteLength) => {
    const refusal = expect.objectContaining({ code: "invalid-request", parameter: "guaranteedBytes", value: byteLength });
    expect(() => createMemoryLedger({ "cuda:0": 100 }).guarantee("a", "cuda:0", byteLength)).toThrow(refusal);
  });

  it("can be taken by its owner whatever others have asked for, in any order", () => {
    let state = 1;
    const random = (below: number) => {
      state = (state * 48271) % 2147483647;
      return state % below;
    };
    for (let round = 0; round < 200; round++) {
      const ledger = createMemoryLedger({ "cuda:0": 1000 });
      const reserveBytes = random(200);
      ledger.setReserve("cuda:0", reserveBytes);
      const owners = ["a", "b", "c"];
      const guaranteed = Object.fromEntries(owners.map((owner) => [owner, random(260)]));
      for (const owner of owners) ledger.guarantee(owner, "cuda:0", guaranteed[owner]!);
      const held: Disposable[] = [];
      for (let step = 0; step < 20; step++) {
        const owner = owners[random(3)]!;
        if (random(4) === 0) held.splice(random(held.length + 1), 1)[0]?.[Symbol.dispose]();
        else if (ledger.available("cuda:0", owner) >= 1)
          held.push(...ledger.reserve([of(owner, 1 + random(ledger.available("cuda:0", owner)))]));
      }
      const reservedBy = (owner: string) =>
        ledger.report().reduce((sum, reservation) => sum + (reservation.owner === owner ? reservation.byteLength : 0), 0);
      for (const owner of owners) ledger.reserve([of(owner, Math.max(0, guaranteed[owner]! - reservedBy(owner)))]);
      const total = ledger.report().reduce((sum, { byteLength }) => sum + byteLength, 0);
      expect(total).toBeLessThanOrEqual(1000 - reserveBytes);
    }
  });
});

it("an allocation without a ledger's reservation does not compile", () => {
  const allocateFromPlainObject = (backend: Backend) =>
    // @ts-expect-error: a plain object lacks the mark that only a ledger's reservation has
    backend.allocate({ ...request("cpu:0", 1), [Symbol.dispose]() {} });
  expect(allocateFromPlainObject).toBeTypeOf("function");
});
