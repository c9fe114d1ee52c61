import { InvalidRequestError, numElementsIn, type OffloadPlan } from "@thermocline/spec";
import { preparePlan } from "../plan-context.js";
import type { PlanRequest } from "../plan-request.js";
import { planIfItFits } from "./budget-curve.js";
import { tokensPerSecondOf } from "./device-bytes.js";

/** One file of a model. */
export interface QuantisationChoice {
  readonly request: PlanRequest;
  readonly name: string;
  readonly quantisation: string;
  /** Over all of the file's weights, scales included. */
  readonly bitsPerWeight: number;
  /** Missing where nothing fits. */
  readonly plan?: OffloadPlan;
  readonly tokensPerSecond?: number;
  readonly timeToFirstTokenSeconds?: number;
}

export interface QuantisationAdvice {
  /** Most bits first. */
  readonly choices: readonly QuantisationChoice[];
  /** Missing where nothing fits, or nothing that fits is fast enough. */
  readonly recommended?: QuantisationChoice;
  /** A sentence or two. */
  readonly explanation: string;
}

export interface QuantisationOptions {
  /** Slower ones are not recommended. Default: half of what the fastest that fits reaches. */
  readonly minTokensPerSecond?: number;
}

/** Slower than this part of the fastest, more bits are hardly worth it where nobody says what is fast enough. */
const worthwhileSpeed = 0.5;

/**
 * Which of several files of a model to take: the one with the most bits per weight that fits and is fast enough.
 * @throws InvalidRequestError where there is nothing to choose from; else as `createPlan`, but for what does not fit.
 */
export async function chooseQuantisation(
  requests: readonly PlanRequest[],
  { minTokensPerSecond }: QuantisationOptions = {},
): Promise<QuantisationAdvice> {
  if (requests.length === 0) throw new InvalidRequestError("requests", requests, "has no model", "give at least one");
  const unsorted: QuantisationChoice[] = [];
  for (const request of requests) unsorted.push(await choiceOf(request));
  const choices = unsorted.sort((a, b) => b.bitsPerWeight - a.bitsPerWeight);
  const fastest = Math.max(0, ...choices.map(({ tokensPerSecond = 0 }) => tokensPerSecond));
  const enough = minTokensPerSecond ?? fastest * worthwhileSpeed;
  const recommended = choices.find(({ plan, tokensPerSecond = 0 }) => plan !== undefined && tokensPerSecond >= enough);
  const explanation = explain(choices, recommended, enough, minTokensPerSecond === undefined);
  return { choices, ...(recommended && { recommended }), explanation };
}

async function choiceOf(request: PlanRequest): Promise<QuantisationChoice> {
  const { demand } = preparePlan(request);
  const { name, quantisation } = demand.model;
  let bytes = 0;
  let elements = 0;
  for (const { weights } of demand.units) {
    for (const { dtype, alwaysBytes, conditionalBytes } of weights) {
      bytes += alwaysBytes + conditionalBytes;
      elements += numElementsIn(dtype, alwaysBytes + conditionalBytes);
    }
  }
  const known = { request, name, quantisation, bitsPerWeight: (8 * bytes) / elements };
  const plan = await planIfItFits(request);
  if (plan === undefined) return known;
  return { ...known, plan, tokensPerSecond: tokensPerSecondOf(plan), timeToFirstTokenSeconds: plan.predicted!.prefillSeconds };
}

const describe = ({ quantisation, bitsPerWeight }: QuantisationChoice) => `${quantisation} (${bitsPerWeight.toFixed(1)} bits a weight)`;
const speedOf = ({ tokensPerSecond = 0 }: QuantisationChoice) => `${tokensPerSecond.toFixed(1)} tok/s`;

function explain(
  choices: readonly QuantisationChoice[],
  chosen: QuantisationChoice | undefined,
  enough: number,
  isDefault: boolean,
): string {
  const least = choices.at(-1)!;
  if (choices.every(({ plan }) => plan === undefined)) return `None fits, not even ${describe(least)}.`;
  if (chosen === undefined) {
    const [fastest] = [...choices].sort((a, b) => (b.tokensPerSecond ?? 0) - (a.tokensPerSecond ?? 0));
    return `None that fits reaches ${enough} tok/s; the fastest is ${describe(fastest!)} with ${speedOf(fastest!)}.`;
  }
  const larger = choices.slice(0, choices.indexOf(chosen));
  const reasons = larger.map((choice) =>
    choice.plan === undefined ? `${describe(choice)} does not fit` : `${describe(choice)} would be down to ${speedOf(choice)}`,
  );
  const limit = isDefault ? "half the speed of the fastest that fits" : `${enough} tok/s`;
  const because = reasons.length === 0 ? "none has more bits" : reasons.join(", ");
  return `Take ${describe(chosen)}: ${speedOf(chosen)}, the most bits with at least ${limit}; ${because}.`;
}
