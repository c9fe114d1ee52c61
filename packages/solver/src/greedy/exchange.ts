/** Local search over placements: single units, groups of rows, layers and pairs of these change devices while that saves time or room. */
import { bytesOfChoices, type Choice, homeAfter, secondsAt } from "../pricing/choice.js";
import type { PricedProblem, PricedUnit } from "../pricing/priced-problem.js";
import type { PricedPart } from "../pricing/priced-rows.js";
import type { ChainPricing } from "./chain-pricing.js";
import { type Candidate, candidateOf } from "./device-prices.js";

/** Units by index, with their new choices; ascending. */
type Move = readonly (readonly [unit: number, choice: Choice])[];

interface PricedMove {
  readonly move: Move;
  /** Seconds gained are below 0. */
  readonly seconds: number;
  /** Change by device. */
  readonly bytes: Float64Array;
  /** First units of the places where the same move can be made, the move's own among them. */
  readonly alike: readonly number[];
}

/** Of moves that gain time, and of those that make room for them, so many are paired; of the pairs so many are priced exactly. */
const maxGains = 24;
const maxRooms = 96;
const maxPairs = 24;
/** A gain below this share of the placement's seconds is rounding. */
const rounding = 1e-12;

export class Exchange {
  readonly #choices: Choice[];
  /** Where the stream is before each unit. */
  readonly #homes: number[];
  readonly #used: Float64Array;
  #seconds: number;
  /** What a unit can become whatever room there is, by what it is now. */
  readonly #known = new WeakMap<Choice, readonly Choice[]>();
  /** Objects by the order in which they were met. */
  readonly #numbers = new Map<object, number>();
  readonly #layers: readonly (readonly number[])[];

  constructor(
    readonly pricing: ChainPricing,
    { choices, seconds }: Candidate,
  ) {
    this.#seconds = seconds;
    this.#choices = [...choices];
    this.#homes = choices.map(() => 0);
    this.#used = bytesOfChoices(pricing.problem, choices);
    this.#updateHomes(0);
    const layers = new Map<number, number[]>();
    for (const [index, { unit }] of this.#problem.units.entries()) {
      if (unit.layer < 0) continue;
      const known = layers.get(unit.layer);
      if (known === undefined) layers.set(unit.layer, [index]);
      else known.push(index);
    }
    this.#layers = [...layers.values()];
  }

  get #problem(): PricedProblem {
    return this.pricing.problem;
  }

  result(): Candidate {
    return candidateOf(this.#problem, [...this.#choices]);
  }

  /** Moves what costs least for the room that it makes, until everything is within its budget. False where that cannot be reached. */
  repair(): boolean {
    const { budgetBytes, numDevices } = this.#problem;
    const overflow = (change?: Float64Array) => {
      let sum = 0;
      for (let device = 0; device < numDevices; device++)
        sum += Math.max(0, this.#used[device]! + (change?.[device] ?? 0) - budgetBytes[device]!) / Math.max(1, budgetBytes[device]!);
      return sum;
    };
    for (let current = overflow(); current > 0; current = overflow()) {
      let best: PricedMove | undefined;
      let least = Number.POSITIVE_INFINITY;
      const priceOfRoom = ({ seconds, bytes }: PricedMove, before: number) => {
        const saved = before - overflow(bytes);
        return saved <= 0 ? Number.POSITIVE_INFINITY : seconds > 0 ? seconds / saved : seconds * saved;
      };
      for (const priced of this.#moves()) {
        const price = priceOfRoom(priced, current);
        if (price < least) [best, least] = [priced, price];
      }
      if (best === undefined) return false;
      const most = least + Math.abs(least) * 0.01;
      for (const place of best.alike) {
        const left = overflow();
        const priced = this.#priceOf(movedTo(best.move, place));
        if (left > 0 && priceOfRoom(priced, left) <= most) this.#apply(priced);
      }
      if (overflow() >= current) return false;
    }
    return true;
  }

  /** Makes the placement faster, within the budgets, until it takes `targetSeconds` or nothing more helps. */
  improve(targetSeconds: number, maxRounds: number): void {
    for (let round = 0; round < maxRounds && this.#seconds > targetSeconds; round++) {
      const moves = this.#moves();
      if (!this.#improveBySingles(moves) && !this.#improveByPairs(moves)) return;
    }
  }

  #improveBySingles(moves: readonly PricedMove[]): boolean {
    const gaining = moves.filter((priced) => this.#gains(priced.seconds) && this.#fits(priced.bytes)).sort((a, b) => a.seconds - b.seconds);
    let isImproved = false;
    const touched = new Set<number>();
    for (const { move, alike } of gaining) {
      for (const place of alike) {
        const moved = movedTo(move, place);
        if (moved.some(([unit]) => touched.has(unit))) continue;
        const priced = this.#priceOf(moved);
        if (!this.#gains(priced.seconds) || !this.#fits(priced.bytes)) continue;
        this.#apply(priced);
        for (const [unit] of moved) touched.add(unit);
        isImproved = true;
      }
    }
    return isImproved;
  }

  /** A move that gains time and lacks room, with one that makes room for it. */
  #improveByPairs(moves: readonly PricedMove[]): boolean {
    const { budgetBytes, numDevices } = this.#problem;
    const gains = moves.filter(({ seconds }) => this.#gains(seconds)).sort((a, b) => a.seconds - b.seconds);
    const pairs: { readonly move: Move; readonly seconds: number }[] = [];
    for (let device = 0; device < numDevices; device++) {
      const lacking = gains.filter(({ bytes }) => bytes[device]! > budgetBytes[device]! - this.#used[device]!).slice(0, maxGains);
      if (lacking.length === 0) continue;
      const rooms = moves
        .filter(({ bytes }) => bytes[device]! < 0)
        .sort((a, b) => a.seconds / -a.bytes[device]! - b.seconds / -b.bytes[device]!)
        .slice(0, maxRooms);
      for (const gain of lacking) {
        for (const room of rooms) {
          const seconds = gain.seconds + room.seconds;
          if (!this.#gains(seconds) || !this.#fits(gain.bytes, room.bytes)) continue;
          if (gain.move.some(([unit]) => room.move.some(([other]) => other === unit))) continue;
          pairs.push({ move: [...gain.move, ...room.move].sort(([a], [b]) => a - b), seconds });
        }
      }
    }
    pairs.sort((a, b) => a.seconds - b.seconds);
    for (const { move } of pairs.slice(0, maxPairs)) {
      const priced = this.#priceOf(move);
      if (!this.#gains(priced.seconds) || !this.#fits(priced.bytes)) continue;
      this.#apply(priced);
      return true;
    }
    return false;
  }

  #gains(seconds: number): boolean {
    return seconds < -rounding * this.#seconds;
  }

  #fits(change: Float64Array, other?: Float64Array): boolean {
    const { budgetBytes, numDevices } = this.#problem;
    for (let device = 0; device < numDevices; device++) {
      const bytes = change[device]! + (other === undefined ? 0 : other[device]!);
      if (bytes > 0 && this.#used[device]! + bytes > budgetBytes[device]!) return false;
    }
    return true;
  }

  #updateHomes(from: number): void {
    const choices = this.#choices;
    if (from === 0) this.#homes[0] = choices[0]!.devices[0]!;
    for (let index = from; index + 1 < choices.length; index++)
      this.#homes[index + 1] = homeAfter(this.#problem.units[index]!, choices[index]!, this.#homes[index]!);
  }

  #apply({ move, seconds, bytes }: PricedMove): void {
    this.#seconds += seconds;
    for (const [unit, choice] of move) this.#choices[unit] = choice;
    for (let device = 0; device < bytes.length; device++) this.#used[device]! += bytes[device]!;
    this.#updateHomes(move[0]![0]);
  }

  /** The chain is priced again from the first change to where the stream takes its old course. */
  #priceOf(move: Move, alike: readonly number[] = []): PricedMove {
    const { numDevices, units } = this.#problem;
    const bytes = new Float64Array(numDevices);
    for (const [unit, choice] of move) {
      const old = this.#choices[unit]!;
      for (let device = 0; device < numDevices; device++) bytes[device]! += choice.bytes[device]! - old.bytes[device]!;
    }
    const first = move[0]![0];
    const last = move.at(-1)![0];
    let seconds = 0;
    let home = first === 0 ? move[0]![1].devices[0]! : this.#homes[first]!;
    let next = 0;
    for (let index = first; index < units.length; index++) {
      const isChanged = next < move.length && move[next]![0] === index;
      if (index > last && home === this.#homes[index]) break;
      const old = this.#choices[index]!;
      const choice = isChanged ? move[next++]![1] : old;
      seconds += secondsAt(this.#problem, units[index]!, choice, home) - secondsAt(this.#problem, units[index]!, old, this.#homes[index]!);
      home = homeAfter(units[index]!, choice, home);
    }
    return { move, seconds, bytes, alike };
  }

  /** Every move of a single unit or layer; of places that are alike in all that matters only the first. */
  #moves(): readonly PricedMove[] {
    const { units, numDevices } = this.#problem;
    const moves: PricedMove[] = [];
    const places = new Map<string, number[]>();
    /** Undefined where a place like this one has been met. */
    const placesLike = (indices: readonly number[]): readonly number[] | undefined => {
      const first = indices[0]!;
      const numbers = indices.map((index) => this.#numberOf(units[index]!.wholeSeconds) * 2 ** 26 + this.#numberOf(this.#choices[index]!));
      const key = `${numbers} ${this.#homes[first]} ${this.#choices[indices.at(-1)! + 1]?.whole}`;
      const known = places.get(key);
      if (known !== undefined) {
        known.push(first);
        return undefined;
      }
      const own = [first];
      places.set(key, own);
      return own;
    };
    for (const [index, unit] of units.entries()) {
      const alike = placesLike([index]);
      if (alike === undefined) continue;
      for (const choice of this.#alternatives(unit, this.#choices[index]!)) moves.push(this.#priceOf([[index, choice]], alike));
    }
    for (const layer of this.#layers) {
      const alike = layer.length < 2 ? undefined : placesLike(layer);
      if (alike === undefined) continue;
      for (let device = 0; device < numDevices; device++) {
        if (layer.some((index) => units[index]!.wholeSeconds[device] === Number.POSITIVE_INFINITY)) continue;
        moves.push(
          this.#priceOf(
            layer.map((index) => [index, this.pricing.whole(units[index]!, device)]),
            alike,
          ),
        );
      }
    }
    return moves;
  }

  #numberOf(object: object): number {
    const known = this.#numbers.get(object) ?? this.#numbers.size;
    this.#numbers.set(object, known);
    return known;
  }

  #alternatives(unit: PricedUnit, current: Choice): readonly Choice[] {
    let choices = this.#known.get(current);
    if (choices === undefined) {
      const wholes = [...unit.wholeSeconds.keys()].filter(
        (device) => device !== current.whole && Number.isFinite(unit.wholeSeconds[device]!),
      );
      choices = [...wholes.map((device) => this.pricing.whole(unit, device)), ...this.#shifts(unit, current, doublings)];
      this.#known.set(current, choices);
    }
    // What just fits, and what just makes room.
    const fitting = this.#shifts(unit, current, (_, from, to) => [
      Math.floor((this.#problem.budgetBytes[to.device]! - this.#used[to.device]!) / Math.max(1, to.bytes[0]!)),
      Math.ceil((this.#used[from.device]! - this.#problem.budgetBytes[from.device]!) / Math.max(1, from.bytes[0]!)),
    ]);
    return [...choices, ...fitting];
  }

  /** Groups of the unit's rows go from one device to another, so many at a time, the hottest or the coldest first. */
  #shifts(
    unit: PricedUnit,
    current: Choice,
    amountsOf: (available: number, from: PricedPart, to: PricedPart) => readonly number[],
  ): Choice[] {
    const { rows } = unit;
    const counts = rows === undefined ? undefined : countsOf(unit, current);
    if (rows === undefined || counts === undefined) return [];
    const choices: Choice[] = [];
    for (const [from, own] of counts.entries()) {
      const available = own.reduce((sum, count) => sum + count, 0);
      for (const to of rows.parts.keys()) {
        if (available === 0 || from === to) continue;
        for (const amount of amountsOf(available, rows.parts[from]!, rows.parts[to]!)) {
          if (!(amount > 0) || amount > available) continue;
          for (const isHottest of rows.classes.length === 1 ? [true] : [true, false]) {
            const choice = this.pricing.split(unit, shift(counts, from, to, amount, isHottest));
            if (choice !== undefined) choices.push(choice);
          }
        }
      }
    }
    return choices;
  }
}

function doublings(available: number): readonly number[] {
  return Array.from({ length: Math.ceil(Math.log2(available)) }, (_, power) => 2 ** power);
}

/** The same move with `place` as its first unit. */
function movedTo(move: Move, place: number): Move {
  const offset = place - move[0]![0];
  return offset === 0 ? move : move.map(([unit, choice]) => [unit + offset, choice]);
}

/** Groups by part and class, also of a unit that lies whole; undefined where its device cannot hold a part. */
function countsOf({ rows }: PricedUnit, { whole, counts }: Choice): readonly Int32Array[] | undefined {
  if (counts !== undefined) return counts;
  const { classes, parts } = rows!;
  if (!parts.some(({ device }) => device === whole)) return undefined;
  return parts.map(({ device }) => Int32Array.from(classes, (members) => (device === whole ? members.length : 0)));
}

function shift(counts: readonly Int32Array[], from: number, to: number, amount: number, isHottest: boolean): readonly Int32Array[] {
  const shifted = counts.map((own) => Int32Array.from(own));
  const source = shifted[from]!;
  let left = amount;
  for (let step = 0; step < source.length && left > 0; step++) {
    const index = isHottest ? step : source.length - 1 - step;
    const taken = Math.min(left, source[index]!);
    source[index]! -= taken;
    shifted[to]![index]! += taken;
    left -= taken;
  }
  return shifted;
}
