/** The host's devices share one memory, whatever their budgets say. */
import { createMemoryLedger, type MemoryRequest } from "@thermocline/spec";
import { describe, expect, it } from "vitest";
import { hostBudgetBytes, hostLedgerOf } from "../../src/host-memory.js";

const hostBytes = hostBudgetBytes();
const unbounded = () => createMemoryLedger({ "cpu:0": 2 ** 52, "cpu:1": 2 ** 52, "cuda:0": 2 ** 52 });
const bytes = (device: string, owner: string, byteLength: number): MemoryRequest => ({
  device,
  owner,
  class: "weights",
  byteLength,
  label: "bytes",
});

function hostLedger() {
  const ledger = hostLedgerOf(unbounded());
  for (const device of ["cpu:0", "cpu:1"]) ledger.addHostDevice(device);
  return ledger;
}

describe("the host's ledger", () => {
  it("counts what its devices hold together, and other devices not at all", () => {
    const ledger = hostLedger();
    ledger.reserve([bytes("cpu:0", "a", hostBytes - 10), bytes("cuda:0", "a", hostBytes)]);
    expect(() => ledger.reserve([bytes("cpu:1", "a", 11)])).toThrow(/host memory \(cpu:0, cpu:1\): needs 11 bytes, 10 are free/);
    ledger.reserve([bytes("cpu:1", "a", 10), bytes("cuda:0", "b", 5)]);
    expect(hostLedgerOf(ledger)).toBe(ledger);
  });

  it("keeps guarantees on one device from owners on another, and lets their owner use them", () => {
    const ledger = hostLedger();
    ledger.guarantee("a", "cpu:0", hostBytes - 100);
    expect(() => ledger.reserve([bytes("cpu:1", "b", 101)])).toThrow(/needs 101 bytes, 100 are free/);
    expect(() => ledger.guarantee("b", "cpu:1", 101)).toThrow(/needs 101 bytes, 100 are free/);
    ledger.reserve([bytes("cpu:0", "a", hostBytes - 100), bytes("cpu:1", "b", 100)]);
    expect(() => ledger.reserve([bytes("cpu:0", "a", 1)])).toThrow(/host memory/);
  });

  it("keeps the largest standing reserve of its devices free", () => {
    const ledger = hostLedger();
    ledger.setReserve("cpu:0", 40);
    ledger.setReserve("cpu:1", 30);
    expect(() => ledger.reserve([bytes("cpu:1", "a", hostBytes - 39)])).toThrow(/host memory/);
    expect(ledger.reserve([bytes("cpu:1", "a", hostBytes - 40)])).toHaveLength(1);
  });

  it("says what can be reserved: no more than the host has left, and what is guaranteed to who asks", () => {
    const ledger = hostLedger();
    ledger.guarantee("a", "cpu:0", 1000);
    ledger.reserve([bytes("cpu:0", "a", 400), bytes("cuda:0", "a", 7)]);
    expect([ledger.available("cpu:1"), ledger.available("cpu:0", "a")]).toEqual([hostBytes - 1000, hostBytes - 400]);
    expect(ledger.available("cuda:0")).toBe(2 ** 52 - 7);
    const mostForA = ledger.available("cpu:0", "a");
    expect(() => ledger.reserve([bytes("cpu:0", "a", mostForA + 1)])).toThrow(/host memory/);
    expect(ledger.reserve([bytes("cpu:0", "a", mostForA)])).toHaveLength(1);
  });

  it("leaves malformed byte lengths to the ledger below", () => {
    const ledger = hostLedger();
    expect(() => ledger.reserve([bytes("cpu:0", "a", Number.NaN)])).toThrow(RangeError);
    expect(() => ledger.guarantee("a", "cpu:0", Number.NaN)).toThrow(/cannot be guaranteed NaN bytes/);
    expect(() => ledger.reserve([bytes("cpu:0", "a", Number.POSITIVE_INFINITY)])).toThrow(/needs Infinity bytes/);
  });
});
