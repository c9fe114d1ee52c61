/** Errors whose cause is the caller or the machine. A bug of ours is an assertion (`AssertionError`), never one of these. */
import type { DeviceId, MemoryReservation } from "./memory.js";
import type { PlanRemedy } from "./offload-plan.js";

// A registered symbol, so that `isInstance` also knows errors of another copy of this package.
const brand = Symbol.for("thermocline.error");

export abstract class ThermoclineError extends Error {
  readonly [brand] = true;
  /** Stable, kebab-case: programs branch on it, people read `message`. */
  abstract readonly code: string;
  /** What the user can do about it, a clause without a full stop. */
  readonly cure: string;

  constructor(problem: string, cure: string, options?: ErrorOptions) {
    super(`${problem}; ${cure}`, options);
    this.name = new.target.name;
    this.cure = cure;
  }

  static isInstance(error: unknown): error is ThermoclineError {
    return typeof error === "object" && error !== null && brand in error;
  }

  /** Code, message and every own field, for `--json` output and servers. */
  toJSON(): Record<string, unknown> {
    return { ...(this as object), code: this.code, message: this.message };
  }
}

/** Bytes that are not free: reserved, or, of class "reserve", kept free by a standing reserve or a guarantee. */
export type MemoryHolder = Pick<MemoryReservation, "owner" | "class" | "byteLength" | "label">;

/** A budget cannot hold what was asked. Nothing was reserved. */
export class InsufficientMemoryError extends ThermoclineError {
  readonly code = "insufficient-memory";
  constructor(
    readonly device: DeviceId,
    readonly needBytes: number,
    readonly haveBytes: number,
    readonly holders: readonly MemoryHolder[],
    cure: string,
    /** The cure as data: tried, and found to fit. Absent: none was computed, or no single change was found. */
    readonly remedy?: PlanRemedy,
  ) {
    const held = holders.length === 0 ? "" : `, held by ${summarizeHolders(holders)}`;
    super(`${device}: needs ${needBytes} bytes, ${haveBytes} are free${held}`, cure);
  }
}

function summarizeHolders(holders: readonly MemoryHolder[]): string {
  const totals = new Map<string, number>();
  for (const holder of holders) {
    const key = holder.class === "reserve" ? holder.label : `${holder.owner} ${holder.class}`;
    totals.set(key, (totals.get(key) ?? 0) + holder.byteLength);
  }
  const largestFirst = [...totals].sort((a, b) => b[1] - a[1]);
  const shown = largestFirst.slice(0, 4).map(([key, byteLength]) => `${key} (${byteLength})`);
  if (largestFirst.length > shown.length) shown.push(`${largestFirst.length - shown.length} more`);
  return shown.join(", ");
}

/** A backend has no kernel for an op or a dtype. Thrown while recording, never while running. */
export class UnsupportedOpError extends ThermoclineError {
  readonly code = "unsupported-op";
  constructor(
    readonly device: DeviceId,
    readonly op: string,
    readonly dtype: string | undefined,
    cure = "place the unit on a device whose traits support it, or convert the model to another type",
  ) {
    super(`${device}: no kernel for ${op}${dtype === undefined ? "" : ` with ${dtype}`}`, cure);
  }
}

/** A recorded command's tensors do not fit together. */
export class InvalidCommandError extends ThermoclineError {
  readonly code = "invalid-command";
  constructor(
    readonly op: string,
    readonly field: string,
    detail: string,
  ) {
    super(`${op}: ${field} ${detail}`, "record the op with the shapes and dtypes that KernelSet documents");
  }
}

/** A command failed while a device ran it. The step's results are discarded; the backend stays usable. */
export class DeviceFaultError extends ThermoclineError {
  readonly code = "device-fault";
  constructor(
    readonly device: DeviceId,
    /** Index of the command in its list. */
    readonly commandIndex: number,
    readonly op: string,
    /** What was wrong: names the operand or rule, and holds the offending value where there is one. */
    readonly detail: string,
  ) {
    super(`${device}: command ${commandIndex} (${op}) failed: ${detail}`, "the step was discarded; try again, and report it if it repeats");
  }
}

/** A backend or device that was asked for is not there. */
export class BackendUnavailableError extends ThermoclineError {
  readonly code = "backend-unavailable";
  constructor(
    readonly backend: string,
    /** One line for each thing that was tried. */
    readonly reasons: readonly string[],
    cure: string,
  ) {
    super(`backend ${backend} is not available: ${reasons.join("; ")}`, cure);
  }
}

/** A file cannot be opened or read. */
export class FileAccessError extends ThermoclineError {
  readonly code = "file-access";
  constructor(
    readonly location: string,
    problem: string,
    options?: ErrorOptions,
  ) {
    super(`${location}: ${problem}`, "check the path or address and its permissions", options);
  }
}

/** The model asks for something that no graph here computes. Refused before anything is loaded. */
export class UnsupportedModelError extends ThermoclineError {
  readonly code = "unsupported-model";
  constructor(
    readonly architecture: string,
    /** The metadata key or tensor that asks for it. */
    readonly feature: string,
    problem: string,
    readonly supported: readonly string[] = [],
  ) {
    super(
      `architecture ${architecture}: ${problem} (${feature})`,
      supported.length > 0 ? `supported: ${supported.join(", ")}` : "use a model without it",
    );
  }
}

/** A tensor that the graph needs is missing, or has another shape or dtype than the metadata promises. */
export class InvalidTensorError extends ThermoclineError {
  readonly code = "invalid-tensor";
  constructor(
    readonly tensor: string,
    readonly expected: string,
    readonly actual: string,
  ) {
    super(
      `tensor ${tensor}: expected ${expected}, the file has ${actual}`,
      "the file is incomplete or was converted wrongly; convert or download it again",
    );
  }
}

/** A plan that cannot be carried out for this model on these devices. */
export class InvalidPlanError extends ThermoclineError {
  readonly code = "invalid-plan";
  constructor(
    /** The plan's unit, device or field. */
    readonly subject: string,
    problem: string,
    cure: string,
  ) {
    super(`plan: ${subject} ${problem}`, cure);
  }
}

/** Text that is no machine profile. */
export class InvalidMachineProfileError extends ThermoclineError {
  readonly code = "invalid-machine-profile";
  constructor(
    /** Path of the field at fault: "devices[0].rates". */
    readonly subject: string,
    problem: string,
    cure: string,
  ) {
    super(`machine profile: ${subject} ${problem}`, cure);
  }
}

/** "512 bytes", "5531372609 bytes (5.15 GiB)". */
function describeBytes(byteLength: number): string {
  const inGiB = (byteLength / 2 ** 30).toFixed(2);
  return byteLength < 2 ** 28 ? `${byteLength} bytes` : `${byteLength} bytes (${inGiB} GiB)`;
}

/** What was asked does not fit, however it is placed. */
export class InfeasiblePlanError extends ThermoclineError {
  readonly code = "infeasible-plan";
  constructor(
    /** More bytes for these devices, all of them together, would do. */
    readonly missingBytes: Readonly<Record<DeviceId, number>>,
    cure: string,
    /** The cure as data: tried, and found to fit. Absent: no single change was found. */
    readonly remedy?: PlanRemedy,
  ) {
    const missing = Object.entries(missingBytes).map(([device, byteLength]) => `${device} lacks ${describeBytes(byteLength)}`);
    super(`no placement fits: ${missing.join(", ")}`, cure);
  }
}

/** A request that cannot be served as it stands. */
export class InvalidRequestError extends ThermoclineError {
  readonly code = "invalid-request";
  constructor(
    readonly parameter: string,
    readonly value: unknown,
    problem: string,
    cure: string,
  ) {
    super(`${parameter}: ${problem}`, cure);
  }
}
