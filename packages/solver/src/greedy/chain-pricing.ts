/**
 * The whole chain where bytes have prices: devices no longer compete for budgets, and a dynamic programme over where the residual stream
 * is finds the cheapest choices. Their cost less the prices of all budgets is below that of every placement that keeps to the budgets
 * (Lagrange), whatever the prices.
 */
import { type Choice, splitChoice, wholeChoice } from "../pricing/choice.js";
import { numPhases, type PricedProblem, type PricedUnit } from "../pricing/priced-problem.js";
import type { PricedRows } from "../pricing/priced-rows.js";
import { SplitPricing } from "./split-pricing.js";

interface PricedSplit {
  /** No split of the unit takes fewer seconds, prices of its bytes included. */
  readonly bound: number;
  readonly choice?: Choice;
}

export interface PricedChain {
  /** Seconds, prices of bytes included, of the cheapest choices from a unit on where the stream comes from a device: [unit][home]. */
  readonly costToGo: readonly Float64Array[];
  readonly choices: readonly Choice[];
}

const maxClassesOfKeys = 8;

export class ChainPricing {
  readonly #splits = new Map<PricedRows, SplitPricing[]>();
  readonly #knownSplits = new Map<PricedRows, Map<string, Choice | undefined>>();
  readonly #wholes = new Map<Float64Array, (Choice | undefined)[]>();

  constructor(readonly problem: PricedProblem) {}

  /** `prices`: seconds per byte, by device. */
  price(prices: Float64Array): PricedChain {
    const { units, numDevices } = this.problem;
    const splits = new Map<PricedRows, readonly PricedSplit[]>();
    const costToGo = units.map(() => new Float64Array(numDevices).fill(Number.POSITIVE_INFINITY));
    costToGo.push(new Float64Array(numDevices));
    // By unit and home: the device of the whole unit, or -1.
    const decisions = units.map(() => new Int8Array(numDevices));
    for (let index = units.length - 1; index >= 0; index--) {
      const unit = units[index]!;
      const split = unit.rows === undefined ? undefined : this.#splitsOf(unit, unit.rows, prices, splits);
      const after = costToGo[index + 1]!;
      for (let home = 0; home < numDevices; home++) {
        let best = split === undefined ? Number.POSITIVE_INFINITY : split[home]!.bound + after[home]!;
        let decision = -1;
        for (let device = 0; device < numDevices; device++) {
          const seconds = unit.wholeSeconds[device]!;
          if (seconds === Number.POSITIVE_INFINITY || (index === 0 && device !== home)) continue;
          const cost =
            this.#moveSeconds(unit, home, device) +
            seconds +
            prices[device]! * unit.wholeBytes[device]! +
            after[unit.staysPut ? home : device]!;
          if (cost < best) [best, decision] = [cost, device];
        }
        costToGo[index]![home] = best;
        decisions[index]![home] = decision;
      }
    }
    return { costToGo, choices: this.#choicesOf(decisions, costToGo[0]!, splits) };
  }

  /** The choice of a unit that lies whole on a device; one object for all units alike. */
  whole(unit: PricedUnit, device: number): Choice {
    const known = this.#wholes.get(unit.wholeSeconds) ?? [];
    this.#wholes.set(unit.wholeSeconds, known);
    known[device] ??= wholeChoice(this.problem, unit, device);
    return known[device];
  }

  /** As `splitChoice`; one object for equal splits where rows have few classes. */
  split(unit: PricedUnit, counts: readonly Int32Array[]): Choice | undefined {
    const rows = unit.rows!;
    if (rows.classes.length > maxClassesOfKeys) return splitChoice(this.problem, unit, counts);
    const known = this.#knownSplits.get(rows) ?? new Map<string, Choice | undefined>();
    this.#knownSplits.set(rows, known);
    const key = counts.join(" ");
    if (!known.has(key)) known.set(key, splitChoice(this.problem, unit, counts));
    return known.get(key);
  }

  #moveSeconds({ staysPut }: PricedUnit, home: number, device: number): number {
    let seconds = 0;
    for (let phase = 0; phase < numPhases; phase++) {
      const links = this.problem.handOver[phase]!;
      seconds += links[home]![device]! + (staysPut ? links[device]![home]! : 0);
    }
    return seconds;
  }

  #splitsOf(unit: PricedUnit, rows: PricedRows, prices: Float64Array, priced: Map<PricedRows, readonly PricedSplit[]>) {
    const known = priced.get(rows);
    if (known !== undefined) return known;
    const { numDevices } = this.problem;
    let pricings = this.#splits.get(rows);
    if (pricings === undefined) {
      pricings = Array.from({ length: numDevices }, (_, home) => new SplitPricing(this.problem, unit, home));
      this.#splits.set(rows, pricings);
    }
    const splits = pricings.map((pricing): PricedSplit => {
      const { bound, counts } = pricing.price(prices);
      const choice = counts === undefined ? undefined : this.split(unit, counts);
      return choice === undefined ? { bound } : { bound, choice };
    });
    priced.set(rows, splits);
    return splits;
  }

  #choicesOf(
    decisions: readonly Int8Array[],
    first: Float64Array,
    splits: ReadonlyMap<PricedRows, readonly PricedSplit[]>,
  ): readonly Choice[] {
    let home = first.indexOf(Math.min(...first));
    return this.problem.units.map((unit, index) => {
      const device = decisions[index]![home]!;
      // Where rounding leaves all groups on one device, the best whole place stands for the split.
      const choice = device < 0 ? splits.get(unit.rows!)![home]!.choice : undefined;
      const chosen = choice ?? this.whole(unit, device < 0 ? this.#fastest(unit) : device);
      if (chosen.whole >= 0 && !unit.staysPut) home = chosen.whole;
      return chosen;
    });
  }

  #fastest({ wholeSeconds }: PricedUnit): number {
    return wholeSeconds.indexOf(Math.min(...wholeSeconds));
  }
}
