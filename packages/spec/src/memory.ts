/** Every byte has a device, an owner and a class before it exists. */
import { InsufficientMemoryError, InvalidRequestError } from "./errors.js";

/** `kind:index`, such as "cpu:0", "cuda:0" or "reference:0". */
export type DeviceId = string;

export const memoryClasses = [
  "weights",
  "mapped-file",
  "kv-cache",
  "activations",
  "staging",
  "transfer",
  "graphs",
  "context",
  "reserve",
] as const;
export type MemoryClass = (typeof memoryClasses)[number];

export interface MemoryRequest {
  readonly device: DeviceId;
  /** Who holds the bytes: a model's name, "server", … */
  readonly owner: string;
  readonly class: MemoryClass;
  readonly byteLength: number;
  /** What the bytes are: "blk.3.ffn", "layer 3 keys", … */
  readonly label: string;
}

declare const reserved: unique symbol;

/** Bytes set aside. Only a ledger makes one, so an allocation without a reservation does not compile. Disposing it twice is harmless. */
export interface MemoryReservation extends MemoryRequest, Disposable {
  readonly [reserved]: true;
}

export interface MemoryLedger {
  /**
   * Makes a device known, or changes its budget. Budgets only bound later reservations; `Infinity` leaves the device unbounded.
   * @throws InvalidRequestError where the budget is no number from 0 on.
   */
  setBudget(device: DeviceId, budgetBytes: number): void;
  budget(device: DeviceId): number;
  available(device: DeviceId): number;
  /**
   * All or nothing.
   * @throws InsufficientMemoryError with device, need, have, holders and a cure; also for more bytes than `Number.MAX_SAFE_INTEGER`,
   * whatever the budget. @throws RangeError for a byte length that is no whole number from 0 on: a bug of the caller's.
   */
  reserve(requests: readonly MemoryRequest[]): readonly MemoryReservation[];
  /** Every live reservation, in the order in which they were made. */
  report(): readonly MemoryReservation[];
}

/** NaN compares false with everything, so that a device with such a budget would never refuse. */
function checkBudget(device: DeviceId, bytes: number): void {
  if (typeof bytes === "number" && bytes >= 0) return;
  throw new InvalidRequestError(
    "budgetBytes",
    bytes,
    `${device} cannot have a budget of ${bytes} bytes`,
    "give a number of bytes from 0 on",
  );
}

/**
 * A ledger over budgets in bytes. It never asks a driver what is free: sizes come from the caller's own arithmetic.
 * @throws InvalidRequestError where a budget is no number from 0 on.
 */
export function createMemoryLedger(budgets: Readonly<Record<DeviceId, number>> = {}): MemoryLedger {
  for (const [device, bytes] of Object.entries(budgets)) checkBudget(device, bytes);
  const budgetBytes = new Map<DeviceId, number>(Object.entries(budgets));
  const reservedBytes = new Map<DeviceId, number>();
  const live = new Set<MemoryReservation>();

  const available = (device: DeviceId) => (budgetBytes.get(device) ?? 0) - (reservedBytes.get(device) ?? 0);

  function refuse(device: DeviceId, needBytes: number): never {
    const holders = [...live].filter((reservation) => reservation.device === device);
    const cure = budgetBytes.has(device)
      ? "lower the context length or the batch, place fewer units there, or raise the budget"
      : "this device has no budget; give it one or place nothing there";
    throw new InsufficientMemoryError(device, needBytes, available(device), holders, cure);
  }

  function makeReservation(request: MemoryRequest): MemoryReservation {
    reservedBytes.set(request.device, (reservedBytes.get(request.device) ?? 0) + request.byteLength);
    const { device, owner, class: memoryClass, byteLength, label } = request;
    const reservation = {
      device,
      owner,
      class: memoryClass,
      byteLength,
      label,
      [Symbol.dispose]() {
        if (live.delete(reservation)) reservedBytes.set(device, reservedBytes.get(device)! - byteLength);
      },
    } as MemoryReservation;
    live.add(reservation);
    return reservation;
  }

  return {
    setBudget(device, bytes) {
      checkBudget(device, bytes);
      budgetBytes.set(device, bytes);
    },
    budget: (device) => budgetBytes.get(device) ?? 0,
    available,
    reserve(requests) {
      const need = new Map<DeviceId, number>();
      for (const { device, byteLength, label } of requests) {
        const isCount = Number.isInteger(byteLength) || byteLength === Number.POSITIVE_INFINITY;
        if (!isCount || byteLength < 0) throw new RangeError(`${label}: ${byteLength} is no byte length`);
        need.set(device, (need.get(device) ?? 0) + byteLength);
      }
      for (const [device, bytes] of need) {
        // Past 2^53 sums of bytes are no longer exact, and an unbounded device would keep count of nothing.
        const isExact = (reservedBytes.get(device) ?? 0) + bytes <= Number.MAX_SAFE_INTEGER;
        if (bytes > available(device) || !isExact) refuse(device, bytes);
      }
      return requests.map(makeReservation);
    },
    report: () => [...live],
  };
}
