/** The greedy search: prices for a bound and for placements near it, then exchanges from the best of these. */
import type { PricedProblem } from "../pricing/priced-problem.js";
import { ChainPricing } from "./chain-pricing.js";
import { type Candidate, type DevicePrices, findDevicePrices, worstSeconds } from "./device-prices.js";
import { Exchange } from "./exchange.js";
import { searchLabels } from "./label-search.js";

export interface FoundPlacement {
  /** The fastest placement found within the budgets. */
  readonly best?: Candidate;
  /** Where none was found: the one that came nearest to the budgets. */
  readonly nearest?: Candidate;
  /** There is none within the budgets. Where this is false and `best` is absent, nobody knows. */
  readonly isInfeasible: boolean;
  readonly boundSeconds: number;
}

const boundTolerance = 1e-5;
/** A placement so near to the bound, relative, is not worth another step. */
const goodEnough = 2e-4;
const maxStarts = 4;
const maxExchangeRounds = 400;

/** Looks at `maxLabels` beginnings of placements of a small problem, one by one: with enough of them the placement found is the best one. */
export function findPlacement(problem: PricedProblem, maxLabels: number): FoundPlacement {
  const pricing = new ChainPricing(problem);
  const prices = findDevicePrices(pricing, boundTolerance);
  const { boundSeconds, candidates } = prices;
  const fitting = candidates.filter(({ bytes }) => bytes.every((used, device) => used <= problem.budgetBytes[device]!));
  const first = fitting.reduce<Candidate | undefined>(
    (best, one) => (best !== undefined && best.seconds <= one.seconds ? best : one),
    undefined,
  );
  const searched = isNear(first, boundSeconds)
    ? undefined
    : searchLabels(pricing, prices, first?.seconds ?? Number.POSITIVE_INFINITY, maxLabels);
  if (searched?.isComplete) {
    const best = searched.best ?? first;
    return best === undefined ? { ...exchangeFrom(pricing, prices), isInfeasible: true } : proven(best, boundSeconds);
  }
  const found = exchangeFrom(pricing, prices);
  // A faster placement that is known makes the search shorter.
  if (searched === undefined || found.best === undefined || isNear(found.best, boundSeconds)) return found;
  const again = searchLabels(pricing, prices, found.best.seconds, maxLabels);
  return again?.isComplete ? proven(again.best ?? found.best, boundSeconds) : found;
}

function isNear(candidate: Candidate | undefined, boundSeconds: number): boolean {
  return candidate !== undefined && candidate.seconds <= boundSeconds * (1 + goodEnough);
}

/** What remains are the rounding errors of sums. */
function proven(best: Candidate, boundSeconds: number): FoundPlacement {
  return { best, isInfeasible: false, boundSeconds: Math.max(boundSeconds, best.seconds * (1 - 1e-12)) };
}

function exchangeFrom(pricing: ChainPricing, { boundSeconds, candidates }: DevicePrices): FoundPlacement {
  let best: Candidate | undefined;
  let nearest: Candidate | undefined;
  for (const start of candidates.slice(0, maxStarts)) {
    const exchange = new Exchange(pricing, start);
    const isFeasible = exchange.repair();
    if (isFeasible) exchange.improve(boundSeconds * (1 + goodEnough), maxExchangeRounds);
    const result = exchange.result();
    if (!isFeasible) nearest ??= result;
    else if (best === undefined || result.seconds < best.seconds) best = result;
    if (isNear(best, boundSeconds)) break;
  }
  // Twice, for the slack of fixed seconds that a split unit has more than once.
  const isInfeasible = best === undefined && boundSeconds > 2 * worstSeconds(pricing.problem);
  return { boundSeconds, isInfeasible, ...(best && { best }), ...(best === undefined && nearest && { nearest }) };
}
