/** A placement with everything that is known of it, as a plan. */
import type {
  MemoryClass,
  OffloadPlan,
  OffloadPlanUnit,
  OffloadUnit,
  PlacedPart,
  PlanDevice,
  PlanSolver,
  StrategyPrediction,
} from "@thermocline/spec";
import { predictUnitSeconds } from "../pricing/predict-times.js";
import { solverVersion } from "../solver-version.js";
import type { PlacedModel } from "./place-model.js";
import { partBytesOf } from "./placed-bytes.js";
import type { ReasonOf } from "./placement-reasons.js";
import type { PlanContext } from "./plan-context.js";
import type { DeviceBytes } from "./planning-problem.js";

export interface PlanParts {
  readonly placed: PlacedModel;
  readonly limitBytes: DeviceBytes;
  readonly solver: Omit<PlanSolver, "version">;
  readonly comparison: readonly StrategyPrediction[];
  readonly reasonOf: ReasonOf;
}

/** Devices that hold nothing are left out, so that nobody opens them for a plan that does not use them. */
export function assemblePlan(context: PlanContext, { placed, limitBytes, solver, comparison, reasonOf }: PlanParts): OffloadPlan {
  const { request, demand, workload } = context;
  const { identity, ...summary } = demand.model;
  const { placement, predicted, exact, problem } = placed;
  const secondsOf = predictUnitSeconds(problem, placement);
  const weightBytes = weightBytesByUnit(context, placed);
  const units = demand.units.flatMap((unit) =>
    placement.get(unit.id)!.map((part): OffloadPlanUnit => {
      const { device, rows } = part;
      const atMost = partBytesOf(demand, unit, part);
      const frequency = frequencyOf(unit, part);
      return {
        id: unit.id,
        device,
        ...(rows && { rows }),
        byteLength: (weightBytes(unit.id, device) ?? atMost.weightBytes) + atMost.kvCacheBytes,
        ...(atMost.kvCacheBytes > 0 && { kvCacheByteLength: atMost.kvCacheBytes }),
        reason: reasonOf(unit, part),
        predictedSeconds: secondsOf.get(unit.id)!.get(device)!,
        ...(frequency !== undefined && { activationFrequency: frequency }),
      };
    }),
  );
  return {
    version: 1,
    model: identity,
    devices: devicesOf(context, placed, limitBytes),
    units,
    summary,
    settings: demand.settings,
    workload,
    machine: { name: request.machine.name, source: request.machine.source },
    solver: { ...solver, version: solverVersion },
    bytes: Object.fromEntries(exact.byDevice),
    ...(demand.estimates.length > 0 && { estimates: demand.estimates }),
    predicted,
    comparison,
  };
}

function devicesOf({ limits }: PlanContext, { exact }: PlacedModel, limitBytes: DeviceBytes): Record<string, PlanDevice> {
  const used = limits.devices.filter(({ device }) => exact.byDevice.has(device.id));
  return Object.fromEntries(
    used.map(({ device: { id, backend, threads, name }, reserveBytes }): [string, PlanDevice] => [
      id,
      {
        backend,
        ...(threads !== undefined && { threads }),
        // Less than the whole budget where devices share a memory.
        budgetBytes: limitBytes.get(id)! + reserveBytes,
        ...(reserveBytes > 0 && { reserveBytes }),
        name,
      },
    ]),
  );
}

const weightClasses: ReadonlySet<MemoryClass> = new Set(["weights", "mapped-file"]);

/** As reserved, by unit and device; undefined where the model does not name its reservations by unit. */
function weightBytesByUnit({ demand }: PlanContext, { exact }: PlacedModel): (unit: string, device: string) => number | undefined {
  const ids = new Set(demand.units.map(({ id }) => id));
  const bytes = new Map<string, number>();
  const named = new Set<string>();
  for (const { device, class: memoryClass, label, byteLength } of exact.reservations) {
    if (!weightClasses.has(memoryClass) || !ids.has(label)) continue;
    named.add(device);
    bytes.set(`${device} ${label}`, (bytes.get(`${device} ${label}`) ?? 0) + byteLength);
  }
  return (unit, device) => (named.has(device) ? (bytes.get(`${device} ${unit}`) ?? 0) : undefined);
}

/** Mean over the rows of a part, of units whose rows are not all read at every step. */
function frequencyOf({ rows, weights, activationFrequency }: OffloadUnit, part: PlacedPart): number | undefined {
  if (!weights.some(({ conditionalBytes }) => conditionalBytes > 0)) return undefined;
  const frequencies = rows?.activationFrequencies;
  if (frequencies === undefined) return activationFrequency;
  const ranges = part.rows ?? [[0, rows!.count] as const];
  let sum = 0;
  let count = 0;
  for (const [first, length] of ranges) {
    for (let row = first; row < first + length; row++) sum += frequencies[row]!;
    count += length;
  }
  return count === 0 ? 0 : sum / count;
}
