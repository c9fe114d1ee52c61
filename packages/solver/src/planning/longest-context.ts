import { largestThat } from "./bisection.js";
import { fits } from "./find-placement.js";
import type { PlanRequest } from "./plan-request.js";

export function withContextLength(request: PlanRequest, contextLength: number): PlanRequest {
  return { ...request, settings: { ...request.settings, contextLength } };
}

/**
 * The longest context from `least` to `most` that fits, to the token; undefined where none does. Every cache grows with the context and
 * nothing shrinks, so what fits at one length fits at all shorter ones. A quick search comes near; where that ends, thorough ones go on, one
 * of them where nothing more fits.
 */
export async function longestContext(request: PlanRequest, least: number, most: number): Promise<number | undefined> {
  const quick = (contextLength: number) => fits(withContextLength(request, contextLength));
  const thorough = (contextLength: number) => fits(withContextLength(request, contextLength), true);
  if (least > most) return undefined;
  const near = await largestThat(least, most, quick);
  if (near === most) return near;
  let good = near;
  for (let step = 1; ; step *= 4) {
    const next = good === undefined ? least : Math.min(most, good + step);
    if (next === good) return good;
    if (!(await thorough(next))) return good === undefined ? undefined : largestThat(good, next - 1, thorough);
    good = next;
  }
}
