/**
 * An offload problem as numbers: for every unit and device seconds of the whole workload, prefill and decode apart, and bytes. Solvers
 * search here; what they find is judged by `predictTimes`, which shares no more with this than the formulas for one part.
 */
import { InvalidPlanError, type OffloadProblem, type OffloadUnit } from "@thermocline/spec";
import { handOverSeconds } from "./hand-over.js";
import { partSeconds, rowSharesOf, tokensAt } from "./part-seconds.js";
import { phasesOf } from "./phases.js";
import { type PricedRows, priceRows } from "./priced-rows.js";

/** Prefill and decode. A split unit takes the longest leg of each, so they cannot be added up before. */
export const numPhases = 2;

export interface PricedUnit {
  readonly unit: OffloadUnit;
  /** Leaves the residual stream where it is, also when it lies whole on one device. */
  readonly staysPut: boolean;
  /** Seconds that the whole unit computes, by device; Infinity where it cannot lie. */
  readonly wholeSeconds: Float64Array;
  readonly wholeBytes: Float64Array;
  /** Of a unit that may lie on several devices at once. */
  readonly rows?: PricedRows;
}

export interface PricedProblem {
  readonly problem: OffloadProblem;
  readonly numDevices: number;
  readonly budgetBytes: Float64Array;
  /** Seconds of all hand-overs of a phase from one device to another, at one place of the chain: [phase][from][to]. */
  readonly handOver: readonly (readonly (readonly number[])[])[];
  /** In the order in which a token passes them. Units that are alike share their arrays and `rows`. */
  readonly units: readonly PricedUnit[];
}

/**
 * @throws InvalidPlanError where a unit can lie on no device.
 * @throws InvalidRequestError where the problem has no link between two devices.
 */
export function priceProblem(problem: OffloadProblem): PricedProblem {
  const { prefill, decode } = phasesOf(problem);
  const phases = [prefill, decode];
  const known = new Map<string, Omit<PricedUnit, "unit">>();
  const units = problem.units.map((unit, index): PricedUnit => {
    const key = signatureOf(problem, unit, index === 0);
    let priced = known.get(key);
    if (priced === undefined) {
      priced = priceUnit(problem, unit, phases, index === 0);
      known.set(key, priced);
    }
    return { unit, ...priced };
  });
  const handOver = phases.map((phase) =>
    handOverSeconds(problem, phase.tokens).map((row) => row.map((seconds) => (phase.numSteps === 0 ? 0 : seconds * phase.numSteps))),
  );
  const budgetBytes = Float64Array.from(problem.devices, (device) => device.budgetBytes);
  return { problem, numDevices: problem.devices.length, budgetBytes, handOver, units };
}

type Phases = Parameters<typeof priceRows>[3];

function priceUnit(problem: OffloadProblem, unit: OffloadUnit, phases: Phases, isFirst: boolean): Omit<PricedUnit, "unit"> {
  const allowed = problem.allowedDevices[unit.id];
  const held = problem.devices.map(({ id, units }) => (allowed === undefined || allowed.includes(id) ? units[unit.id] : undefined));
  if (held.every((bytes) => bytes === undefined)) {
    const devices = problem.devices.map(({ id }) => id).join(", ");
    const problemText =
      allowed === undefined ? `can lie on none of ${devices}` : `is pinned to ${allowed.join(", ")}, which cannot hold it`;
    throw new InvalidPlanError(`unit ${unit.id}`, problemText, "take its pins away, or add a device that has kernels for it");
  }
  const shares = phases.map((phase) => rowSharesOf(unit, tokensAt(unit, phase)));
  const wholeSeconds = Float64Array.from(problem.devices, ({ rates }, device) => {
    const bytes = held[device];
    if (bytes === undefined) return Number.POSITIVE_INFINITY;
    return phases.reduce((sum, phase, index) => {
      if (phase.numSteps === 0) return sum;
      return sum + phase.numSteps * partSeconds(unit, bytes, rates, phase, shares[index]);
    }, 0);
  });
  const wholeBytes = Float64Array.from(held, (bytes) => (bytes === undefined ? 0 : bytes.weightBytes + bytes.kvCacheBytes));
  // The stream begins with the first unit, which therefore lies whole on one device; a KV cache is not divided.
  const mayBeSplit = unit.rows !== undefined && unit.kvCache === undefined && !isFirst;
  const rows = mayBeSplit ? priceRows(problem, unit, held, phases) : undefined;
  return { staysPut: unit.kind === "experts", wholeSeconds, wholeBytes, ...(rows && { rows }) };
}

/** Equal for units that differ in nothing that a price depends on. Measured frequencies are taken to be a unit's own. */
function signatureOf({ devices, allowedDevices }: OffloadProblem, unit: OffloadUnit, isFirst: boolean): string {
  const { id, layer: _, tensors: _tensors, ...figures } = unit;
  if (unit.rows?.activationFrequencies !== undefined) return id;
  return JSON.stringify([isFirst, figures, devices.map(({ units }) => units[id] ?? null), allowedDevices[id] ?? null]);
}
