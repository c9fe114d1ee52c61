/** Where units may lie: the user's pins and limits as lists of devices. */
import {
  type DeviceId,
  InvalidRequestError,
  type MachineDevice,
  type MemoryDemand,
  type OffloadUnit,
  ThermoclineError,
} from "@thermocline/spec";
import type { PlanRequest, UnitPin } from "./plan-request.js";

/** A pin that cannot be kept. */
export class InvalidPinError extends ThermoclineError {
  readonly code = "invalid-pin";
  constructor(
    readonly pattern: string,
    /** The device that the pin names. */
    readonly device: DeviceId,
    /** The unit it fails for, if it matches any. */
    readonly unit: string | undefined,
    /** The device that another pin gives the unit, if that is what is wrong. */
    readonly otherDevice: DeviceId | undefined,
    problem: string,
    cure: string,
    /** Of a device that is too small for what is pinned there: what it lacks. */
    readonly missingBytes?: number,
  ) {
    super(`pin ${pattern}=${device}: ${problem}`, cure);
  }
}

/**
 * Whether devices can hold what is pinned to them, whatever else lies there.
 * @throws InvalidPinError naming the unit with which a device is full, or that it has no kernels for.
 */
export function checkPinsFit(
  { units, devices }: MemoryDemand,
  limits: ReadonlyMap<string, UnitLimit>,
  limitBytes: ReadonlyMap<DeviceId, number>,
): void {
  const pinnedBytes = new Map<DeviceId, number>();
  for (const { id } of units) {
    const limit = limits.get(id);
    if (limit?.by !== "pin") continue;
    const [device] = limit.devices as readonly [DeviceId];
    const pattern = limit.pattern!;
    const bytes = devices[device]!.units[id];
    if (bytes === undefined) {
      const able = Object.keys(devices).filter((other) => devices[other]!.units[id] !== undefined);
      const cure = able.length === 0 ? "no device here can hold it; convert the model to another type" : `pin it to ${able.join(" or ")}`;
      throw new InvalidPinError(pattern, device, id, undefined, `${device} has no kernels for ${id}`, cure);
    }
    const total = (pinnedBytes.get(device) ?? 0) + bytes.weightBytes + bytes.kvCacheBytes;
    pinnedBytes.set(device, total);
    const haveBytes = limitBytes.get(device)!;
    if (total > haveBytes) {
      const problem = `${device} cannot hold ${id}: what is pinned there up to it takes ${total} bytes, it has ${haveBytes}`;
      const cure = "pin fewer units there, raise its budget, or lower the context length";
      throw new InvalidPinError(pattern, device, id, undefined, problem, cure, total - haveBytes);
    }
  }
}

const aliases = { attn: "attention", ffn: "feed-forward", exps: "experts", shexp: "shared-experts" } as const;

/** Why a unit may lie only on some devices. */
export interface UnitLimit {
  readonly devices: readonly DeviceId[];
  readonly by: "pin" | "max-gpu-layers" | "cpu-experts" | "few-devices";
  /** Of the pin. */
  readonly pattern?: string;
}

/**
 * By unit id, for units that may not lie anywhere. Pins win over the two limits, which hold together.
 * @throws InvalidPinError for a pattern that is no regular expression or matches no unit, a device that is not there, and pins that give
 * one unit to two devices. @throws InvalidRequestError for limits that need a CPU where there is none.
 */
export function unitLimitsOf(
  units: readonly OffloadUnit[],
  devices: readonly Pick<MachineDevice, "id" | "kind">[],
  { pins = [], maxGpuLayers, cpuExperts = false }: Pick<PlanRequest, "pins" | "maxGpuLayers" | "cpuExperts">,
): ReadonlyMap<string, UnitLimit> {
  const limits = new Map<string, UnitLimit>();
  const cpus = devices.filter(({ kind }) => kind === "cpu").map(({ id }) => id);
  const keepOnCpu = (unit: OffloadUnit, by: UnitLimit["by"]) => {
    if (cpus.length > 0) return void limits.set(unit.id, { devices: cpus, by });
    const [parameter, value] = by === "cpu-experts" ? ["cpuExperts", cpuExperts] : ["maxGpuLayers", maxGpuLayers];
    const problem = `keeps ${unit.id} on a CPU, and the machine has none`;
    throw new InvalidRequestError(parameter as string, value, problem, "leave it out, or add a CPU device to the machine");
  };
  if (maxGpuLayers !== undefined) {
    checkMaxGpuLayers(maxGpuLayers);
    const numLayers = Math.max(0, ...units.map(({ layer }) => layer + 1));
    for (const unit of units) if (!mayUseGpu(unit, numLayers, maxGpuLayers)) keepOnCpu(unit, "max-gpu-layers");
  }
  if (cpuExperts) for (const unit of units) if (unit.kind === "experts") keepOnCpu(unit, "cpu-experts");
  for (const [id, pin] of pinsOf(units, devices, pins)) limits.set(id, { devices: [pin.device], by: "pin", pattern: pin.pattern });
  return limits;
}

function checkMaxGpuLayers(value: number): void {
  if (Number.isSafeInteger(value) && value >= 0) return;
  throw new InvalidRequestError("maxGpuLayers", value, `is ${value}`, "give a whole number from 0 on");
}

function mayUseGpu({ kind, layer }: OffloadUnit, numLayers: number, maxGpuLayers: number): boolean {
  if (layer >= 0) return layer >= numLayers - maxGpuLayers;
  return kind === "head" ? maxGpuLayers > 0 : maxGpuLayers >= numLayers;
}

function pinsOf(
  units: readonly OffloadUnit[],
  devices: readonly Pick<MachineDevice, "id">[],
  pins: readonly UnitPin[],
): ReadonlyMap<string, UnitPin> {
  const pinOf = new Map<string, UnitPin>();
  for (const pin of pins) {
    const { pattern, device } = pin;
    if (!devices.some(({ id }) => id === device)) {
      const there = devices.map(({ id }) => id).join(", ");
      throw new InvalidPinError(pattern, device, undefined, undefined, `there is no device ${device}`, `use one of ${there}`);
    }
    const expression = expressionOf(pin);
    const matched = units.filter(({ id }) => expression.test(id));
    if (matched.length === 0) {
      const examples = [...new Set(units.map(({ id }) => id.replace(/\d+/, "N")))].join(", ");
      const cure = `write an expression for whole unit ids: ${examples}`;
      throw new InvalidPinError(pattern, device, undefined, undefined, "matches no unit of this model", cure);
    }
    for (const { id } of matched) {
      const other = pinOf.get(id);
      if (other !== undefined && other.device !== device) {
        const problem = `${id} is to lie on ${device}, but ${other.pattern}=${other.device} gives it to ${other.device}`;
        throw new InvalidPinError(pattern, device, id, other.device, problem, "remove one of the two pins, or narrow its pattern");
      }
      pinOf.set(id, pin);
    }
  }
  return pinOf;
}

function expressionOf({ pattern, device }: UnitPin): RegExp {
  const names = Object.keys(aliases).join("|");
  const source = pattern.replace(new RegExp(`(?<![\\w-])(${names})(?![\\w-])`, "g"), (name) => aliases[name as keyof typeof aliases]);
  try {
    return new RegExp(`^(?:${source})$`);
  } catch (error) {
    const problem = `is no regular expression (${(error as Error).message})`;
    throw new InvalidPinError(pattern, device, undefined, undefined, problem, "correct it; a literal dot is written \\.");
  }
}
