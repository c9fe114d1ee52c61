/** How many bytes each device may give: budgets, reserves, and the one memory that a host's devices share. */
import { type DeviceId, InvalidRequestError, type MachineDevice, type MachineProfile } from "@thermocline/spec";
import type { DeviceBudget } from "./plan-request.js";

/** Left free on a GPU, for the desktop and the driver: so many bytes, or this part of a small card. */
const gpuReserveBytes = 512 * 1024 ** 2;
const gpuReserveShare = 1 / 16;
/** Left to the rest of the machine: so many bytes, or this part of a large memory. */
const hostReserveBytes = 1024 ** 3;
const hostReserveShare = 1 / 10;

export interface DeviceLimit {
  readonly device: MachineDevice;
  readonly budgetBytes: number;
  readonly reserveBytes: number;
  /** What everything on the device takes at most: the budget less the reserve. */
  readonly limitBytes: number;
}

export interface MachineLimits {
  /** In the machine's order. */
  readonly devices: readonly DeviceLimit[];
  /** Host devices without a budget of their own; together they stay within `limitBytes`. Absent where there are fewer than two. */
  readonly shared?: { readonly devices: readonly DeviceId[]; readonly limitBytes: number };
}

/** Bytes that stay free on a device where nothing else is asked. */
export function defaultReserveBytes({ kind, memoryBytes }: Pick<MachineDevice, "kind" | "memoryBytes">): number {
  const bytes =
    kind === "gpu" ? Math.min(gpuReserveBytes, memoryBytes * gpuReserveShare) : Math.max(hostReserveBytes, memoryBytes * hostReserveShare);
  return Math.min(memoryBytes, Math.ceil(bytes));
}

/**
 * Budgets of every device of a machine.
 * @throws InvalidRequestError for a machine without devices, a budget or reserve that is no number of bytes, one for a device that is not
 * there, a budget above the device's memory, a reserve above the budget, and budgets of host devices that exceed their one memory.
 */
export function limitsOf(machine: MachineProfile, budgets: Readonly<Record<DeviceId, DeviceBudget>> = {}): MachineLimits {
  checkDevices(machine);
  const known = machine.devices.map(({ id }) => id);
  for (const id of Object.keys(budgets)) {
    if (!known.includes(id))
      throw new InvalidRequestError("budgets", id, `names ${id}, which ${machine.name} does not have`, `name one of ${known.join(", ")}`);
  }
  const devices = machine.devices.map((device) => limitOf(device, budgets[device.id] ?? {}));
  const shared = shareHostMemory(devices, budgets);
  return shared === undefined ? { devices } : { devices, shared };
}

function checkDevices({ name, devices }: MachineProfile): void {
  if (devices.length === 0)
    throw new InvalidRequestError("machine", name, "has no devices", "give it at least one device, or calibrate this machine");
  const seen = new Set<DeviceId>();
  for (const { id, memoryBytes } of devices) {
    if (seen.has(id))
      throw new InvalidRequestError("machine", id, `has two devices with the id ${id}`, "give each device an id of its own");
    seen.add(id);
    if (!isByteCount(memoryBytes))
      throw new InvalidRequestError("machine", memoryBytes, `${id} has ${memoryBytes} bytes of memory`, "give a number of bytes from 0 on");
  }
}

const isByteCount = (value: unknown): value is number => typeof value === "number" && Number.isFinite(value) && value >= 0;

function limitOf(device: MachineDevice, { budgetBytes, reserveBytes }: DeviceBudget): DeviceLimit {
  const budget = budgetBytes ?? device.memoryBytes;
  const reserve = reserveBytes ?? (budgetBytes === undefined ? defaultReserveBytes(device) : 0);
  const refuse = (field: "budgetBytes" | "reserveBytes", value: unknown, problem: string, cure: string): never => {
    throw new InvalidRequestError(`budgets["${device.id}"].${field}`, value, problem, cure);
  };
  if (!isByteCount(budget)) refuse("budgetBytes", budget, `is ${budget}`, "give a number of bytes from 0 on");
  if (!isByteCount(reserve)) refuse("reserveBytes", reserve, `is ${reserve}`, "give a number of bytes from 0 on");
  if (budget > device.memoryBytes)
    refuse("budgetBytes", budget, `is ${budget}, the device has ${device.memoryBytes}`, `give at most ${device.memoryBytes}`);
  if (reserve > budget) refuse("reserveBytes", reserve, `is ${reserve}, above the budget of ${budget}`, `give at most ${budget}`);
  return { device, budgetBytes: Math.floor(budget), reserveBytes: Math.ceil(reserve), limitBytes: Math.floor(budget) - Math.ceil(reserve) };
}

function shareHostMemory(limits: readonly DeviceLimit[], budgets: Readonly<Record<DeviceId, DeviceBudget>>): MachineLimits["shared"] {
  const host = limits.filter(({ device }) => device.kind === "cpu");
  if (host.length < 2) return undefined;
  const memoryBytes = Math.max(...host.map(({ device }) => device.memoryBytes));
  const given = host.filter(({ device }) => budgets[device.id]?.budgetBytes !== undefined);
  const givenBytes = given.reduce((sum, { budgetBytes }) => sum + budgetBytes, 0);
  if (givenBytes > memoryBytes) {
    const names = given.map(({ device, budgetBytes }) => `${device.id} ${budgetBytes}`).join(", ");
    const problem = `of host devices (${names}) exceed the ${memoryBytes} bytes of memory that they share`;
    throw new InvalidRequestError("budgets", givenBytes, problem, `lower them by ${givenBytes - memoryBytes} bytes`);
  }
  const sharing = host.filter((limit) => !given.includes(limit));
  if (sharing.length === 0) return undefined;
  const reserveBytes = Math.max(...sharing.map((limit) => limit.reserveBytes));
  return {
    devices: sharing.map(({ device }) => device.id),
    limitBytes: Math.max(0, memoryBytes - givenBytes - reserveBytes),
  };
}
