/** Several models on one machine: each gets what it claims, whoever else is there and whoever comes first. */
import { type DeviceId, InfeasiblePlanError, InvalidRequestError, type OffloadPlan, ThermoclineError } from "@thermocline/spec";
import { createPlan } from "../create-plan.js";
import { limitsOf } from "../device-limits.js";
import type { DeviceBudget, PlanRequest } from "../plan-request.js";

/** Bytes of a device, or a fraction of what all models together may take of it: its budget less its reserve. */
export type DeviceClaim = { readonly bytes: number } | { readonly fraction: number };

/** The machine and its budgets are the same for all models. */
export interface SharedPlanRequest extends PlanRequest {
  readonly name: string;
  /** What the model is guaranteed, and plans with, the device's runtime included; default: its fraction of the weights of all models. */
  readonly claims?: Readonly<Record<DeviceId, DeviceClaim>>;
}

/** Models claim more of a device than there is. */
export class OverclaimedDeviceError extends ThermoclineError {
  readonly code = "overclaimed-device";
  constructor(
    readonly device: DeviceId,
    /** Bytes, by the models' names. */
    readonly claims: Readonly<Record<string, number>>,
    readonly haveBytes: number,
  ) {
    const claimed = Object.values(claims).reduce((sum, bytes) => sum + bytes, 0);
    const list = Object.entries(claims).map(([name, bytes]) => `${name} ${bytes}`);
    super(
      `${device}: models claim ${claimed} bytes (${list.join(", ")}), there are ${haveBytes}`,
      `lower claims by ${claimed - haveBytes} bytes`,
    );
  }
}

/**
 * Plans each model within its claim alone. The answer for a model depends on the others by nothing but default claims, so that models that
 * are planned at once, in any order or in turn with the same claims get the same plans.
 * @returns Plans by name, in the order of the requests. The budget of each device in them is the model's claim.
 * @throws OverclaimedDeviceError where the claims exceed a device; InvalidRequestError for claims that are none, names that are not
 * different, or requests for different machines; InfeasiblePlanError, naming the model, where one does not fit within its claim.
 */
export async function planTogether(requests: readonly SharedPlanRequest[]): Promise<ReadonlyMap<string, OffloadPlan>> {
  const claims = claimsOf(requests);
  const plans = new Map<string, OffloadPlan>();
  for (const request of requests) {
    try {
      plans.set(request.name, await createPlan(withinClaim(request, claims.get(request.name)!)));
    } catch (error) {
      if (!(error instanceof InfeasiblePlanError)) throw error;
      throw new InfeasiblePlanError(error.missingBytes, `for ${request.name}: ${error.cure}`, error.remedy);
    }
  }
  return plans;
}

/** Bytes by device, by name. */
export function claimsOf(requests: readonly SharedPlanRequest[]): ReadonlyMap<string, ReadonlyMap<DeviceId, number>> {
  const [first] = requests;
  if (first === undefined) throw new InvalidRequestError("requests", requests, "has no model", "give at least one");
  for (const [index, { name, machine, budgets }] of requests.entries()) {
    if (requests.findIndex((other) => other.name === name) !== index)
      throw new InvalidRequestError("requests", name, `has two models called ${name}`, "give each a name of its own");
    if (JSON.stringify([machine, budgets ?? {}]) !== JSON.stringify([first.machine, first.budgets ?? {}])) {
      const problem = `has another machine or budgets than ${first.name}`;
      throw new InvalidRequestError("requests", name, problem, "plan models together that share one machine");
    }
  }
  const totals = totalBytesOf(first);
  const allWeights = requests.reduce((sum, { demandModel }) => sum + demandModel.model.weightBytes, 0);
  const claims = new Map<string, ReadonlyMap<DeviceId, number>>();
  for (const request of requests) {
    const unknown = Object.keys(request.claims ?? {}).find((device) => !totals.has(device));
    if (unknown !== undefined)
      throw new InvalidRequestError(
        "claims",
        unknown,
        `of ${request.name} name ${unknown}`,
        `name one of ${[...totals.keys()].join(", ")}`,
      );
    const fraction = request.demandModel.model.weightBytes / allWeights;
    const bytes = [...totals].map(([device, total]) => [device, bytesOfClaim(request, device, total, fraction)] as const);
    claims.set(request.name, new Map(bytes));
  }
  for (const [device, haveBytes] of totals) {
    const claimed = Object.fromEntries([...claims].map(([name, bytes]) => [name, bytes.get(device)!]));
    if (Object.values(claimed).reduce((sum, bytes) => sum + bytes, 0) > haveBytes)
      throw new OverclaimedDeviceError(device, claimed, haveBytes);
  }
  return claims;
}

/** What models may take of each device; of host devices that share a memory, each all of it. */
function totalBytesOf({ machine, budgets }: PlanRequest): ReadonlyMap<DeviceId, number> {
  const { devices, shared } = limitsOf(machine, budgets);
  return new Map(
    devices.map(({ device: { id }, limitBytes }) => [
      id,
      shared?.devices.includes(id) ? Math.min(limitBytes, shared.limitBytes) : limitBytes,
    ]),
  );
}

function bytesOfClaim({ name, claims }: SharedPlanRequest, device: DeviceId, totalBytes: number, defaultFraction: number): number {
  const claim = claims?.[device] ?? { fraction: defaultFraction };
  const [value, most] = "bytes" in claim ? [claim.bytes, Number.MAX_SAFE_INTEGER] : [claim.fraction, 1];
  if (!(value >= 0 && value <= most)) {
    const cure = "bytes" in claim ? "give a number of bytes from 0 on" : "give a fraction from 0 to 1";
    throw new InvalidRequestError("claims", value, `of ${name} on ${device} is ${value}`, cure);
  }
  return Math.floor("bytes" in claim ? value : value * totalBytes);
}

/** A claim is a budget; of memory that host devices share it is as if there were no more. */
function withinClaim(request: SharedPlanRequest, claim: ReadonlyMap<DeviceId, number>): PlanRequest {
  const { name: _, claims: _claims, ...plain } = request;
  const shared = limitsOf(request.machine, request.budgets).shared?.devices ?? [];
  const devices = request.machine.devices.map((device) =>
    shared.includes(device.id) ? { ...device, memoryBytes: claim.get(device.id)! } : device,
  );
  const budgets = Object.fromEntries(
    [...claim].map(([id, budgetBytes]): [DeviceId, DeviceBudget] => [
      id,
      shared.includes(id) ? { reserveBytes: 0 } : { budgetBytes, reserveBytes: 0 },
    ]),
  );
  return { ...plain, machine: { ...request.machine, devices }, budgets };
}
