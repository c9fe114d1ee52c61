/** From a checked request to what solvers and strategies are asked. */
import type { DeviceId, OffloadProblem, ProblemDevice, UnitBytes, Workload } from "@thermocline/spec";
import { overheadBytesOf } from "./placed-bytes.js";
import { allowedDevicesOf, type PlanContext } from "./plan-context.js";

/** Bytes by device id. */
export type DeviceBytes = ReadonlyMap<DeviceId, number>;

/**
 * What each device needs at most beside its units, whatever lies there; less what two units share that can lie nowhere else, as each of them
 * counts it.
 */
export function overheadBounds({ demand, unitLimits }: PlanContext): DeviceBytes {
  const isOnlyOn = (unit: string, device: DeviceId) => {
    const devices = Object.entries(demand.devices).flatMap(([id, { units }]) => (units[unit] === undefined ? [] : [id]));
    return (unitLimits.get(unit)?.devices ?? devices).every((id) => id === device);
  };
  return new Map(
    Object.entries(demand.devices).map(([id, device]) => {
      const together = Object.entries(device.units).filter(
        ([unit, { shared }]) => shared && isOnlyOn(unit, id) && isOnlyOn(shared.unit, id),
      );
      const sharedBytes = together.reduce((sum, [, { shared }]) => sum + shared!.byteLength, 0);
      return [id, overheadBytesOf(device) - sharedBytes];
    }),
  );
}

/**
 * A device that has no byte left for units is not even offered empty ones, which would bring its overhead along.
 * @param limitBytes What everything on a device may take.
 * @param overheadBytes What of that is not for units; negative where units take less than they are counted for.
 */
export function problemOf(
  context: PlanContext,
  limitBytes: DeviceBytes,
  overheadBytes: DeviceBytes,
  workload: Workload = context.workload,
): OffloadProblem {
  const { demand, request } = context;
  const devices = request.machine.devices.map(({ id, kind, rates }): ProblemDevice => {
    const budgetBytes = Math.max(0, Math.floor(limitBytes.get(id)! - overheadBytes.get(id)!));
    const { units } = demand.devices[id]!;
    return { id, kind, rates, budgetBytes, units: budgetBytes > 0 ? units : withoutEmpty(units) };
  });
  return {
    units: demand.units,
    devices,
    links: request.machine.links,
    workload,
    maxBatchTokens: demand.settings.maxBatchTokens,
    handOverBytesPerToken: demand.handOverBytesPerToken,
    allowedDevices: allowedDevicesOf(context),
  };
}

function withoutEmpty(units: Readonly<Record<string, UnitBytes>>): Readonly<Record<string, UnitBytes>> {
  return Object.fromEntries(Object.entries(units).filter(([, { weightBytes, kvCacheBytes }]) => weightBytes + kvCacheBytes > 0));
}
