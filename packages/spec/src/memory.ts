/** Every byte has a device, an owner and a class before it exists. */
import { InsufficientMemoryError } from "./errors.js";

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
  /** Makes a device known, or changes its budget. Budgets only bound later reservations. */
  setBudget(device: DeviceId, budgetBytes: number): void;
  budget(device: DeviceId): number;
  available(device: DeviceId): number;
  /** All or nothing. @throws InsufficientMemoryError with device, need, have, holders and a cure. */
  reserve(requests: readonly MemoryRequest[]): readonly MemoryReservation[];
  /** Every live reservation, in the order in which they were made. */
  report(): readonly MemoryReservation[];
}

/** A ledger over budgets in bytes. It never asks a driver what is free: sizes come from the caller's own arithmetic. */
export function createMemoryLedger(budgets: Readonly<Record<DeviceId, number>> = {}): MemoryLedger {
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
    setBudget: (device, bytes) => void budgetBytes.set(device, bytes),
    budget: (device) => budgetBytes.get(device) ?? 0,
    available,
    reserve(requests) {
      const need = new Map<DeviceId, number>();
      for (const { device, byteLength, label } of requests) {
        if (!Number.isSafeInteger(byteLength) || byteLength < 0) throw new RangeError(`${label}: ${byteLength} is no byte length`);
        need.set(device, (need.get(device) ?? 0) + byteLength);
      }
      for (const [device, bytes] of need) if (bytes > available(device)) refuse(device, bytes);
      return requests.map(makeReservation);
    },
    report: () => [...live],
  };
}
