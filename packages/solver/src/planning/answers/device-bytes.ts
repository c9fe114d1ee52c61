/** Questions about the size of one device's memory. */
import { type DeviceId, InvalidRequestError, type OffloadPlan } from "@thermocline/spec";
import type { PlanRequest } from "../plan-request.js";

/**
 * The request on a machine whose device has so many bytes. Where the request gives the device a budget, that becomes so many bytes; else it
 * is its memory, of which the default reserve stays free.
 * @throws InvalidRequestError for a device that is not there.
 */
export function withDeviceBytes(request: PlanRequest, device: DeviceId, bytes: number): PlanRequest {
  const { machine, budgets } = request;
  const known = machine.devices.find(({ id }) => id === device);
  if (known === undefined) {
    const there = machine.devices.map(({ id }) => id).join(", ");
    throw new InvalidRequestError("device", device, `${machine.name} has no ${device}`, `name one of ${there}`);
  }
  if (!Number.isFinite(bytes) || bytes < 0)
    throw new InvalidRequestError("bytes", bytes, `is ${bytes} for ${device}`, "give a number of bytes from 0 on");
  const given = budgets?.[device];
  const hasBudget = given?.budgetBytes !== undefined;
  const memoryBytes = hasBudget ? Math.max(known.memoryBytes, bytes) : bytes;
  const devices = machine.devices.map((other) => (other === known ? { ...known, memoryBytes } : other));
  const budget = {
    ...(hasBudget && { budgetBytes: bytes }),
    // Of fewer bytes than are to stay free, all of them do.
    ...(given?.reserveBytes !== undefined && { reserveBytes: Math.min(given.reserveBytes, bytes) }),
  };
  return { ...request, machine: { ...machine, devices }, budgets: { ...budgets, [device]: budget } };
}

/** Many plans are compared: greedy's answers differ from exact ones by less than the steps between them. */
export function quickly(request: PlanRequest): PlanRequest {
  return (request.solver ?? "auto") === "auto" ? { ...request, solver: "greedy" } : request;
}

/** Predicted, of all sequences of the plan's workload together. */
export function tokensPerSecondOf({ predicted, workload }: OffloadPlan): number {
  return (workload?.batch ?? 1) / predicted!.secondsPerToken;
}
