/**
 * All placements of a small problem, unit by unit: a label is a beginning of the chain with its seconds, bytes and where the stream is.
 * Labels whose bound to the end is no better than a known placement are dropped, and so are those that another one beats in everything.
 */
import { type Choice, homeAfter, secondsAt } from "../pricing/choice.js";
import type { PricedUnit } from "../pricing/priced-problem.js";
import type { ChainPricing } from "./chain-pricing.js";
import { type Candidate, candidateOf, type DevicePrices } from "./device-prices.js";

interface Label {
  readonly seconds: number;
  readonly used: Float64Array;
  readonly home: number;
  readonly choice?: Choice;
  readonly before?: Label;
}

export interface LabelSearchResult {
  /** Better than the placement that was known. */
  readonly best?: Candidate;
  /** Every placement was looked at or ruled out: there is none better. */
  readonly isComplete: boolean;
}

/** Units with more ways to be split than this are not for this search. */
const maxSplits = 1000;
/** Nor are chains with more choices than these in all: their labels are too many to be looked at. */
const maxChoices = 1000;
const maxComparisons = 64;
/** Bounds are sums in another order than seconds are. */
const rounding = 1e-12;

/** Looks at `maxLabels` labels at most. Undefined where there are too many choices to begin. */
export function searchLabels(
  pricing: ChainPricing,
  { prices, chain }: Pick<DevicePrices, "prices" | "chain">,
  known: number,
  maxLabels: number,
): LabelSearchResult | undefined {
  const { problem } = pricing;
  const { units, numDevices, budgetBytes } = problem;
  const optionsOf = new Map<PricedUnit["wholeSeconds"], readonly Choice[] | undefined>();
  let numChoices = 0;
  for (const unit of units) {
    if (!optionsOf.has(unit.wholeSeconds)) optionsOf.set(unit.wholeSeconds, listChoices(pricing, unit));
    const options = optionsOf.get(unit.wholeSeconds);
    if (options === undefined) return undefined;
    numChoices += options.length;
    if (numChoices > maxChoices) return undefined;
  }
  const priceOfBudgets = prices.reduce((sum, price, device) => sum + (price > 0 ? price * budgetBytes[device]! : 0), 0);
  const limit = known * (1 - rounding);
  let labels: Label[] = [{ seconds: 0, used: new Float64Array(numDevices), home: -1 }];
  let numLabels = 0;
  for (const [index, unit] of units.entries()) {
    const next: { readonly label: Label; readonly bound: number }[] = [];
    for (const before of labels) {
      for (const choice of optionsOf.get(unit.wholeSeconds)!) {
        if (++numLabels > maxLabels) return { isComplete: false };
        if (index === 0 && choice.whole < 0) continue;
        if (!fits(before.used, choice.bytes, budgetBytes)) continue;
        const from = index === 0 ? choice.whole : before.home;
        const home = homeAfter(unit, choice, from);
        const seconds = before.seconds + secondsAt(problem, unit, choice, from);
        const used = before.used.map((bytes, device) => bytes + choice.bytes[device]!);
        const priceOfBytes = used.reduce((sum, bytes, device) => sum + bytes * prices[device]!, 0);
        const bound = seconds + priceOfBytes - priceOfBudgets + chain.costToGo[index + 1]![home]!;
        if (bound < limit) next.push({ label: { seconds, used, home, choice, before }, bound });
      }
    }
    next.sort((a, b) => a.bound - b.bound);
    labels = [];
    for (const { label } of next) if (!isBeaten(label, labels)) labels.push(label);
  }
  const fastest = labels.reduce<Label | undefined>(
    (best, label) => (best !== undefined && best.seconds <= label.seconds ? best : label),
    undefined,
  );
  if (fastest === undefined || fastest.seconds >= limit) return { isComplete: true };
  const choices: Choice[] = [];
  for (let label: Label | undefined = fastest; label?.choice !== undefined; label = label.before) choices.unshift(label.choice);
  return { best: candidateOf(problem, choices), isComplete: true };
}

function fits(used: Float64Array, more: Float64Array, budgets: Float64Array): boolean {
  for (let device = 0; device < used.length; device++) if (used[device]! + more[device]! > budgets[device]!) return false;
  return true;
}

/** By one of the labels with the least bounds, which beat the most. */
function isBeaten({ home, seconds, used }: Label, others: readonly Label[]): boolean {
  const compared = Math.min(others.length, maxComparisons);
  for (let index = 0; index < compared; index++) {
    const other = others[index]!;
    if (other.home === home && other.seconds <= seconds && other.used.every((bytes, device) => bytes <= used[device]!)) return true;
  }
  return false;
}

function listChoices(pricing: ChainPricing, unit: PricedUnit): readonly Choice[] | undefined {
  const wholes = [...unit.wholeSeconds.keys()].flatMap((device) =>
    Number.isFinite(unit.wholeSeconds[device]!) ? [pricing.whole(unit, device)] : [],
  );
  if (unit.rows === undefined) return wholes;
  const { classes, parts } = unit.rows;
  let columns: readonly (readonly number[])[][] = [[]];
  for (const members of classes) {
    const ways = sharesOf(members.length, parts.length);
    if (ways.length * columns.length > maxSplits) return undefined;
    columns = columns.flatMap((before) => ways.map((way) => [...before, way]));
  }
  const splits = columns.flatMap((byClass) => {
    const counts = parts.map((_, part) => Int32Array.from(byClass, (way) => way[part]!));
    return pricing.split(unit, counts) ?? [];
  });
  return [...wholes, ...splits];
}

/** All ways to share so many equal groups out to so many parts; no more than are of use. */
function sharesOf(count: number, numParts: number): readonly (readonly number[])[] {
  if (numParts === 1) return [[count]];
  const ways: (readonly number[])[] = [];
  for (let own = 0; own <= count && ways.length <= maxSplits; own++) {
    for (const rest of sharesOf(count - own, numParts - 1)) ways.push([own, ...rest]);
  }
  return ways;
}
