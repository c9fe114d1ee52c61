/** How the values of options are read: numbers within bounds, lists, token biases. */
import { InvalidArgumentError } from "commander";

/** Bounds that a value must keep to; none where absent. */
export interface Bounds {
  readonly from?: number;
  readonly above?: number;
  readonly to?: number;
  readonly below?: number;
}

const boundTests: Readonly<Record<keyof Bounds, (value: number, bound: number) => boolean>> = {
  from: (value, bound) => value >= bound,
  above: (value, bound) => value > bound,
  to: (value, bound) => value <= bound,
  below: (value, bound) => value < bound,
};

export function isWithin(value: number, bounds: Bounds): boolean {
  return (Object.entries(bounds) as [keyof Bounds, number][]).every(([name, bound]) => boundTests[name](value, bound));
}

/** "number above 0 to 1". */
export function describeNumber(kind: "number" | "whole number", bounds: Bounds): string {
  return [kind, ...Object.entries(bounds).flat()].join(" ");
}

/** Reads a number of the kind that JSON knows; "0x10", "" and "Infinity" are none. */
export function numberIn(bounds: Bounds): (text: string) => number {
  return (text) => checked(parseNumber(text), Number.isFinite, "number", bounds);
}

export function wholeNumberIn(bounds: Bounds): (text: string) => number {
  return (text) => checked(parseNumber(text), Number.isSafeInteger, "whole number", bounds);
}

/** "1,2,4". */
export function wholeNumbersIn(bounds: Bounds): (text: string) => readonly number[] {
  const read = wholeNumberIn(bounds);
  return (text) => text.split(",").map(read);
}

function parseNumber(text: string): number {
  return /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text) ? Number(text) : Number.NaN;
}

/** @throws InvalidArgumentError; commander puts the option and its value before it. */
function checked(value: number, isKind: (value: number) => boolean, kind: "number" | "whole number", bounds: Bounds): number {
  if (isKind(value) && isWithin(value, bounds)) return value;
  throw new InvalidArgumentError(`A ${describeNumber(kind, bounds)} is needed.`);
}

/** For options that may be given several times. */
export function collect(value: string, earlier: readonly string[] = []): readonly string[] {
  return [...earlier, value];
}

export type TokenBias = readonly [tokenId: number, bias: number];

/** "15043=-2.5", or "15043=-inf" for a token that shall never come; may be given several times. */
export function collectBias(text: string, earlier: readonly TokenBias[] = []): readonly TokenBias[] {
  const [, id = "", bias = ""] = /^(\d+)=(.+)$/.exec(text) ?? [];
  const value = bias.toLowerCase() === "-inf" ? Number.NEGATIVE_INFINITY : parseNumber(bias);
  if (id === "" || Number.isNaN(value)) throw new InvalidArgumentError("A token id, = and a number or -inf are needed.");
  return [...earlier, [Number(id), value]];
}
