/** The change that makes an infeasible request fit, carried out and put into words. */
import { assert, type DeviceId, type PlanRemedy } from "@thermocline/spec";
import type { PlanRequest } from "./plan-request.js";

/** The request as the remedy changes it. More memory takes the place of a budget that was given for its device. */
export function applyRemedy(request: PlanRequest, { settings, budgetBytes, memoryBytes }: PlanRemedy): PlanRequest {
  if (settings !== undefined) return { ...request, settings: { ...request.settings, ...settings } };
  if (budgetBytes !== undefined) {
    const [device, bytes] = onlyEntryOf(budgetBytes);
    return { ...request, budgets: { ...request.budgets, [device]: { ...request.budgets?.[device], budgetBytes: bytes } } };
  }
  const [device, bytes] = onlyEntryOf(memoryBytes ?? {});
  const devices = request.machine.devices.map((known) => (known.id === device ? { ...known, memoryBytes: bytes } : known));
  const { budgetBytes: _, ...budget } = request.budgets?.[device] ?? {};
  return { ...request, machine: { ...request.machine, devices }, budgets: { ...request.budgets, [device]: budget } };
}

function onlyEntryOf(bytes: Readonly<Record<DeviceId, number>>): readonly [DeviceId, number] {
  const [entry] = Object.entries(bytes);
  assert(entry !== undefined, "a remedy changes nothing");
  return entry;
}

/** A clause: "lower contextLength to 13056". */
export function describeRemedy(remedy: PlanRemedy): string {
  const { settings = {}, budgetBytes, memoryBytes } = remedy;
  if (budgetBytes !== undefined) {
    const [device, bytes] = onlyEntryOf(budgetBytes);
    return `raise the budget of ${device} to ${bytes} bytes`;
  }
  if (memoryBytes !== undefined) {
    const [device, bytes] = onlyEntryOf(memoryBytes);
    return `use a machine whose ${device} has ${bytes} bytes of memory`;
  }
  const { keyCacheDType, valueCacheDType } = settings;
  if (keyCacheDType !== undefined) {
    return keyCacheDType === valueCacheDType
      ? `set keyCacheDType and valueCacheDType to ${keyCacheDType}`
      : `set keyCacheDType to ${keyCacheDType} and valueCacheDType to ${valueCacheDType}`;
  }
  const [name, value] = Object.entries(settings)[0]!;
  return `lower ${name} to ${value}`;
}
