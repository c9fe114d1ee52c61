/** The greedy search: prices for a bound and for placements near it, then exchanges from the best of these. */
import type { PricedProblem } from "../pricing/priced-problem.js";
import { ChainPricing } from "./chain-pricing.js";
import { type Candidate, findDevicePrices } from "./device-prices.js";
import { Exchange } from "./exchange.js";

export interface FoundPlacement {
  /** The fastest placement found within the budgets. */
  readonly best?: Candidate;
  /** Where none was found: the one that came nearest to the budgets. */
  readonly nearest?: Candidate;
  readonly boundSeconds: number;
}

const boundTolerance = 1e-5;
/** A placement so near to the bound, relative, is not worth another step. */
const goodEnough = 2e-4;
const maxStarts = 4;
const maxExchangeRounds = 400;

export function findPlacement(problem: PricedProblem): FoundPlacement {
  const pricing = new ChainPricing(problem);
  const { boundSeconds, candidates } = findDevicePrices(pricing, boundTolerance);
  const starts = candidates.slice(0, maxStarts);
  let best: Candidate | undefined;
  let nearest: Candidate | undefined;
  for (const start of starts) {
    const exchange = new Exchange(pricing, start);
    const isFeasible = exchange.repair();
    if (isFeasible) exchange.improve(boundSeconds * (1 + goodEnough), maxExchangeRounds);
    const result = exchange.result();
    if (!isFeasible) nearest ??= result;
    else if (best === undefined || result.seconds < best.seconds) best = result;
    if (best !== undefined && best.seconds <= boundSeconds * (1 + goodEnough)) break;
  }
  return { boundSeconds, ...(best && { best }), ...(best === undefined && nearest && { nearest }) };
}
