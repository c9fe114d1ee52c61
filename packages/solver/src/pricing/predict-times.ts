/** What a placement is judged by: the time model of `OffloadProblem`, applied to whole placements. */
import {
  assert,
  type DeviceId,
  type OffloadProblem,
  type OffloadUnit,
  type PlacedPart,
  type Placement,
  type PredictedTimes,
} from "@thermocline/spec";
import { handOverSeconds } from "./hand-over.js";
import { partSeconds, rowSharesOf, tokensAt } from "./part-seconds.js";
import { type Phase, phasesOf, prefillOf } from "./phases.js";

/**
 * Predicted seconds of the problem's workload, whether or not the placement keeps to budgets and pins.
 * @throws InvalidRequestError where the problem has no link between two devices.
 */
export function predictTimes(problem: OffloadProblem, placement: Placement): PredictedTimes {
  const { prefill, decode } = phasesOf(problem);
  const stepSeconds = (phase: Phase) => (phase.numSteps === 0 ? 0 : secondsOfStep(problem, placement, phase));
  const prefillSeconds = (phase: Phase) => phase.numSteps * stepSeconds(phase);
  const decodeSeconds = secondsOfStep(problem, placement, { ...decode, numSteps: Math.max(1, decode.numSteps) });
  const { workload, maxBatchTokens } = problem;
  const allPrompts = prefillSeconds(prefill);
  return {
    workloadSeconds: allPrompts + decode.numSteps * decodeSeconds,
    prefillSeconds: workload.batch === 1 ? allPrompts : prefillSeconds(prefillOf({ ...workload, batch: 1 }, maxBatchTokens)),
    secondsPerToken: decodeSeconds,
  };
}

/** Seconds that each device computes for its part of each unit in one step of the answer, without the hand-overs before and after. */
export function predictUnitSeconds(problem: OffloadProblem, placement: Placement): ReadonlyMap<string, ReadonlyMap<DeviceId, number>> {
  const { decode } = phasesOf(problem);
  const phase = { ...decode, numSteps: Math.max(1, decode.numSteps) };
  return new Map(
    problem.units.map((unit) => {
      const seconds = partsOf(placement, unit).map((part) => [part.device, secondsOfPart(problem, unit, part, phase)] as const);
      return [unit.id, new Map(seconds)];
    }),
  );
}

function partsOf(placement: Placement, { id }: OffloadUnit): readonly PlacedPart[] {
  const parts = placement.get(id);
  assert(parts !== undefined && parts.length > 0, `unit ${id} has no place`);
  return parts;
}

function secondsOfPart({ devices }: OffloadProblem, unit: OffloadUnit, { device, rows }: PlacedPart, phase: Phase): number {
  const found = devices.find(({ id }) => id === device);
  assert(found !== undefined, `unit ${unit.id} lies on ${device}, which the problem does not have`);
  return partSeconds(unit, found.units[unit.id], found.rates, phase, rowSharesOf(unit, tokensAt(unit, phase), rows));
}

/** On average over the phase's depths. */
function secondsOfStep(problem: OffloadProblem, placement: Placement, phase: Phase): number {
  const handOver = handOverSeconds(problem, phase.tokens);
  const indexOf = (device: DeviceId) => problem.devices.findIndex(({ id }) => id === device);
  let seconds = 0;
  let stream: number | undefined;
  for (const unit of problem.units) {
    const parts = partsOf(placement, unit);
    stream ??= indexOf(parts[0]!.device);
    if (parts.length === 1 && unit.kind !== "experts") {
      const device = indexOf(parts[0]!.device);
      seconds += handOver[stream]![device]! + secondsOfPart(problem, unit, parts[0]!, phase);
      stream = device;
      continue;
    }
    const home = stream;
    const legs = parts.map((part) => {
      const device = indexOf(part.device);
      return handOver[home]![device]! + secondsOfPart(problem, unit, part, phase) + handOver[device]![home]!;
    });
    seconds += Math.max(...legs);
  }
  return seconds;
}
