/** The limits that an opening sets on devices: they hold once it has succeeded, and go when it fails. */
import { type DeviceId, type DeviceInfo, InvalidRequestError, type MemoryLedger, type PlanDevice } from "@thermocline/spec";
import { hostBudgetBytes } from "./host-memory.js";

/** For every device, or by device id. */
export type BytesByDevice = number | Readonly<Record<DeviceId, number>>;

export interface MemoryLimits {
  /** Most bytes that all models of the ledger may reserve on a device. */
  readonly budgetBytes?: BytesByDevice;
  /** Of the budget, bytes that always stay free. */
  readonly reserveBytes?: BytesByDevice;
  /** Bytes that no other model of the ledger can take. */
  readonly guaranteedBytes?: BytesByDevice;
}

/** What one opening has set; it ends with exactly one of the two calls. */
export interface LimitClaims {
  keep(): void;
  /** Restores what held before, except where something else has been set since. */
  withdraw(): void;
}

interface Claim {
  readonly bytes: number;
}

/** A number that a ledger has for each device. */
interface Limit {
  readonly name: string;
  get(device: DeviceId): number;
  set(device: DeviceId, bytes: number): void;
}

/** By limit and device: what held before any claim that may still be withdrawn, and these claims, oldest first. */
const claimsOf = new WeakMap<MemoryLedger, Map<string, Claim[]>>();

/** @throws InvalidRequestError for bytes that no device can have. Needs no device. */
export function checkLimits(limits: MemoryLimits): void {
  for (const name of ["budgetBytes", "reserveBytes", "guaranteedBytes"] as const) {
    const asked = limits[name];
    if (asked === undefined) continue;
    const entries = typeof asked === "object" && asked !== null ? Object.entries(asked) : [["", asked] as const];
    for (const [device, bytes] of entries) {
      if (bytes === undefined || (typeof bytes === "number" && bytes >= 0)) continue;
      const where = device === "" ? "" : ` for ${device}`;
      throw new InvalidRequestError(name, bytes, `is ${bytes}${where}`, "give a number of bytes from 0 on");
    }
  }
}

/**
 * Sets each device's budget (what was asked, else the plan's, else what the ledger says, else its memory), its standing reserve (what was
 * asked, else the plan's, else what the ledger says) and what is guaranteed to `owner`.
 * @throws InvalidRequestError for limits of a device that is not among them, and a reserve above the budget; InsufficientMemoryError for
 * guarantees that are not free. Nothing is set then.
 */
export function claimLimits(
  ledger: MemoryLedger,
  devices: readonly Pick<DeviceInfo, "id" | "kind" | "totalBytes">[],
  owner: string,
  limits: MemoryLimits,
  planned: Readonly<Record<DeviceId, PlanDevice>> = {},
): LimitClaims & Disposable {
  for (const name of ["budgetBytes", "reserveBytes", "guaranteedBytes"] as const) checkDevices(name, limits[name], devices);
  const budgets: Limit = { name: "budget", get: (id) => ledger.budget(id), set: (id, bytes) => ledger.setBudget(id, bytes) };
  const reserves: Limit = { name: "reserve", get: (id) => ledger.standingReserve(id), set: (id, bytes) => ledger.setReserve(id, bytes) };
  const wanted = devices.map((device) => {
    const { id } = device;
    const defaultBytes = () => ledger.budget(id) || (device.kind === "gpu" ? device.totalBytes : hostBudgetBytes());
    const budgetBytes = bytesFor(limits.budgetBytes, id) ?? planned[id]?.budgetBytes ?? defaultBytes();
    // A plan's reserve belongs to its budget.
    const plannedReserve = bytesFor(limits.budgetBytes, id) === undefined ? planned[id]?.reserveBytes : undefined;
    const reserveBytes = bytesFor(limits.reserveBytes, id) ?? plannedReserve ?? ledger.standingReserve(id);
    if (reserveBytes > budgetBytes) {
      const problem = `is ${reserveBytes} for ${id}, above its budget of ${budgetBytes}`;
      throw new InvalidRequestError("reserveBytes", reserveBytes, problem, `give at most ${budgetBytes}`);
    }
    return { id, budgetBytes, reserveBytes };
  });
  const claims = wanted.flatMap(({ id, budgetBytes, reserveBytes }) => [
    claim(ledger, budgets, id, budgetBytes),
    claim(ledger, reserves, id, reserveBytes),
  ]);
  const guarantees: Disposable[] = [];
  const dispose = () => guarantees.splice(0).forEach((guarantee) => void guarantee[Symbol.dispose]());
  const withdraw = () => {
    dispose();
    for (const { withdraw } of claims) withdraw();
  };
  try {
    for (const { id } of devices) {
      const bytes = bytesFor(limits.guaranteedBytes, id);
      if (bytes !== undefined) guarantees.push(ledger.guarantee(owner, id, bytes));
    }
  } catch (error) {
    withdraw();
    throw error;
  }
  return { keep: () => claims.forEach(({ keep }) => void keep()), withdraw, [Symbol.dispose]: dispose };
}

function bytesFor(bytes: BytesByDevice | undefined, device: DeviceId): number | undefined {
  return typeof bytes === "number" ? bytes : bytes?.[device];
}

function checkDevices(name: keyof MemoryLimits, bytes: BytesByDevice | undefined, devices: readonly { readonly id: DeviceId }[]): void {
  if (typeof bytes !== "object") return;
  const ids = devices.map(({ id }) => id);
  const unknown = Object.keys(bytes).find((device) => !ids.includes(device));
  if (unknown === undefined) return;
  throw new InvalidRequestError(name, unknown, `names ${unknown}, which is not opened`, `name ${ids.join(", ")}`);
}

function claim(ledger: MemoryLedger, limit: Limit, device: DeviceId, bytes: number): LimitClaims {
  const byDevice = claimsOf.get(ledger) ?? new Map<string, Claim[]>();
  claimsOf.set(ledger, byDevice);
  const key = `${limit.name} ${device}`;
  const known = byDevice.get(key);
  const heldBytes = limit.get(device);
  // Where the ledger's owner has set a limit meanwhile, that is what to return to.
  const claims = known?.at(-1)?.bytes === heldBytes ? known : [{ bytes: heldBytes }];
  const own: Claim = { bytes };
  claims.push(own);
  byDevice.set(key, claims);
  limit.set(device, bytes);
  return {
    keep: () => void claims.splice(0, claims.indexOf(own)),
    withdraw() {
      const isInForce = claims.at(-1) === own && limit.get(device) === bytes;
      claims.splice(claims.indexOf(own), 1);
      if (isInForce) limit.set(device, claims.at(-1)!.bytes);
    },
  };
}
