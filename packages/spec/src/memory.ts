/** Every byte has a device, an owner and a class before it exists. */

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

/** A minimum that an owner may reserve whatever others ask for. Disposing it, twice is harmless, gives up the claim and no reservation. */
export interface MemoryGuarantee extends Disposable {
  readonly owner: string;
  readonly device: DeviceId;
  /** The owner's reservations on the device count towards it. */
  readonly byteLength: number;
}

export interface MemoryLedger {
  /**
   * Makes a device known, or changes its budget. Budgets only bound later reservations; `Infinity` leaves the device unbounded.
   * @throws InvalidRequestError where the budget is no number from 0 on.
   */
  setBudget(device: DeviceId, budgetBytes: number): void;
  budget(device: DeviceId): number;
  /**
   * Of the budget, bytes that stay free for as long as this is set: a standing limit, not one of the moment of loading. Default 0.
   * @throws InvalidRequestError where it is no number from 0 on.
   */
  setReserve(device: DeviceId, reserveBytes: number): void;
  standingReserve(device: DeviceId): number;
  /** What `owner` could reserve now: the budget less the standing reserve, everything reserved, and what is guaranteed to others. */
  available(device: DeviceId, owner?: string): number;
  /**
   * From now on others cannot take these bytes; several guarantees of one owner on a device add up. Sizes that follow from a guarantee do
   * not depend on who else is there, or came first.
   * @throws InsufficientMemoryError where they are not free now; InvalidRequestError for a byte length that is no whole number from 0 on.
   */
  guarantee(owner: string, device: DeviceId, byteLength: number): MemoryGuarantee;
  /** Every live guarantee, in the order in which they were given. */
  guarantees(): readonly MemoryGuarantee[];
  /**
   * All or nothing.
   * @throws InsufficientMemoryError with device, need, have, holders and a cure; also for more bytes than `Number.MAX_SAFE_INTEGER`,
   * whatever the budget. @throws RangeError for a byte length that is no whole number from 0 on: a bug of the caller's.
   */
  reserve(requests: readonly MemoryRequest[]): readonly MemoryReservation[];
  /** Every live reservation, in the order in which they were made. */
  report(): readonly MemoryReservation[];
}
