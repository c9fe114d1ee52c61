/** Counts bytes against budgets. It never asks a driver what is free: sizes come from the caller's own arithmetic. */
import { InsufficientMemoryError, InvalidRequestError, type MemoryHolder } from "./errors.js";
import type { DeviceId, MemoryGuarantee, MemoryLedger, MemoryRequest, MemoryReservation } from "./memory.js";

/** What one owner holds on one device. */
interface Holding {
  reservedBytes: number;
  guaranteedBytes: number;
}

interface DeviceAccount {
  budgetBytes: number;
  reserveBytes: number;
  readonly holdings: Map<string, Holding>;
}

/** NaN compares false with everything, so that a device with such a budget would never refuse. */
function checkBytes(parameter: "budgetBytes" | "reserveBytes", device: DeviceId, bytes: number): void {
  if (typeof bytes === "number" && bytes >= 0) return;
  const noun = parameter === "budgetBytes" ? "budget" : "reserve";
  throw new InvalidRequestError(parameter, bytes, `${device} cannot have a ${noun} of ${bytes} bytes`, "give a number of bytes from 0 on");
}

/**
 * A ledger over budgets in bytes.
 * @throws InvalidRequestError where a budget is no number from 0 on.
 */
export function createMemoryLedger(budgets: Readonly<Record<DeviceId, number>> = {}): MemoryLedger {
  const accounts = new Map<DeviceId, DeviceAccount>();
  const live = new Set<MemoryReservation>();
  const guarantees = new Set<MemoryGuarantee>();

  const accountOf = (device: DeviceId): DeviceAccount => {
    const known = accounts.get(device) ?? { budgetBytes: 0, reserveBytes: 0, holdings: new Map<string, Holding>() };
    accounts.set(device, known);
    return known;
  };
  const setBudget = (device: DeviceId, bytes: number) => {
    checkBytes("budgetBytes", device, bytes);
    accountOf(device).budgetBytes = bytes;
  };
  for (const [device, bytes] of Object.entries(budgets)) setBudget(device, bytes);

  const change = (device: DeviceId, owner: string, kind: keyof Holding, byteLength: number) => {
    const { holdings } = accountOf(device);
    const holding = holdings.get(owner) ?? { reservedBytes: 0, guaranteedBytes: 0 };
    holding[kind] += byteLength;
    if (holding.reservedBytes === 0 && holding.guaranteedBytes === 0) holdings.delete(owner);
    else holdings.set(owner, holding);
  };

  /** What is left once everybody's reservations and guarantees are met, but for the unused guarantees of these owners. */
  const availableTo = (device: DeviceId, owners: { has(owner: string): boolean }): number => {
    const { budgetBytes, reserveBytes, holdings } = accountOf(device);
    let left = budgetBytes - reserveBytes;
    for (const [owner, { reservedBytes, guaranteedBytes }] of holdings)
      left -= owners.has(owner) ? reservedBytes : Math.max(reservedBytes, guaranteedBytes);
    return left;
  };

  function refuse(device: DeviceId, needBytes: number, owners: ReadonlyMap<string, number>): never {
    const { budgetBytes, reserveBytes, holdings } = accountOf(device);
    const holders: MemoryHolder[] = [...live].filter((reservation) => reservation.device === device);
    const keep = (owner: string, byteLength: number, label: string) => {
      if (byteLength > 0) holders.push({ owner, class: "reserve", byteLength, label });
    };
    for (const [owner, { reservedBytes, guaranteedBytes }] of holdings)
      if (!owners.has(owner)) keep(owner, guaranteedBytes - reservedBytes, `guaranteed to ${owner}`);
    keep("ledger", reserveBytes, "standing reserve");
    const cure =
      budgetBytes > 0
        ? "lower the context length or the batch, place fewer units there, or raise the budget"
        : "this device has no budget; give it one or place nothing there";
    throw new InsufficientMemoryError(device, needBytes, availableTo(device, owners), holders, cure);
  }

  /** Refuses where so many more bytes of one kind are not there for these owners. */
  function check(device: DeviceId, needs: ReadonlyMap<string, number>, kind: keyof Holding): void {
    const { holdings } = accountOf(device);
    let needBytes = 0;
    // Beside what every owner may still take of a guarantee of its own.
    let exceedingBytes = 0;
    let reservedBytes = 0;
    for (const holding of holdings.values()) reservedBytes += holding.reservedBytes;
    for (const [owner, byteLength] of needs) {
      const before = holdings.get(owner) ?? { reservedBytes: 0, guaranteedBytes: 0 };
      const after = { ...before, [kind]: before[kind] + byteLength };
      const committed = (holding: Holding) => Math.max(holding.reservedBytes, holding.guaranteedBytes);
      needBytes += byteLength;
      exceedingBytes += committed(after) - committed(before);
    }
    // Past 2^53 sums of bytes are no longer exact, and an unbounded device would keep count of nothing.
    const isExact = reservedBytes + needBytes <= Number.MAX_SAFE_INTEGER;
    if (exceedingBytes > availableTo(device, noOwners) || !isExact) refuse(device, needBytes, needs);
  }

  function makeReservation({ device, owner, class: memoryClass, byteLength, label }: MemoryRequest): MemoryReservation {
    change(device, owner, "reservedBytes", byteLength);
    const reservation = {
      device,
      owner,
      class: memoryClass,
      byteLength,
      label,
      [Symbol.dispose]() {
        if (live.delete(reservation)) change(device, owner, "reservedBytes", -byteLength);
      },
    } as MemoryReservation;
    live.add(reservation);
    return reservation;
  }

  return {
    setBudget,
    budget: (device) => accounts.get(device)?.budgetBytes ?? 0,
    setReserve(device, bytes) {
      checkBytes("reserveBytes", device, bytes);
      accountOf(device).reserveBytes = bytes;
    },
    standingReserve: (device) => accounts.get(device)?.reserveBytes ?? 0,
    available: (device, owner) => availableTo(device, owner === undefined ? noOwners : new Set([owner])),
    guarantee(owner, device, byteLength) {
      if (!Number.isInteger(byteLength) || byteLength < 0) {
        const problem = `${owner} cannot be guaranteed ${byteLength} bytes on ${device}`;
        throw new InvalidRequestError("guaranteedBytes", byteLength, problem, "give a whole number of bytes from 0 on");
      }
      check(device, new Map([[owner, byteLength]]), "guaranteedBytes");
      change(device, owner, "guaranteedBytes", byteLength);
      const guarantee: MemoryGuarantee = {
        owner,
        device,
        byteLength,
        [Symbol.dispose]() {
          if (guarantees.delete(guarantee)) change(device, owner, "guaranteedBytes", -byteLength);
        },
      };
      guarantees.add(guarantee);
      return guarantee;
    },
    guarantees: () => [...guarantees],
    reserve(requests) {
      const needs = new Map<DeviceId, Map<string, number>>();
      for (const { device, owner, byteLength, label } of requests) {
        const isCount = Number.isInteger(byteLength) || byteLength === Number.POSITIVE_INFINITY;
        if (!isCount || byteLength < 0) throw new RangeError(`${label}: ${byteLength} is no byte length`);
        const byOwner = needs.get(device) ?? new Map<string, number>();
        byOwner.set(owner, (byOwner.get(owner) ?? 0) + byteLength);
        needs.set(device, byOwner);
      }
      for (const [device, byOwner] of needs) check(device, byOwner, "reservedBytes");
      return requests.map(makeReservation);
    },
    report: () => [...live],
  };
}

const noOwners: ReadonlySet<string> = new Set();
