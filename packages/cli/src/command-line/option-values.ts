/** How the values of options are read: numbers within bounds, lists, sizes, token biases. */
import { InvalidArgumentError } from "commander";
import { byteSizeForm, parseByteSize } from "../planning/byte-size.js";
import type { Claim, DevicePin } from "../planning/planning-options.js";

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

/** "8GiB". @throws InvalidArgumentError. */
export function byteSize(text: string): number {
  const bytes = parseByteSize(text);
  if (bytes === undefined) throw new InvalidArgumentError(`Give ${byteSizeForm}.`);
  return bytes;
}

/** "24GiB,12GiB". */
export function byteSizes(text: string): readonly number[] {
  return text.split(",").map(byteSize);
}

/** "cuda:0=512MiB"; may be given several times, once for each device. */
export function collectDeviceSize(text: string, earlier: Readonly<Record<string, number>> = {}): Readonly<Record<string, number>> {
  const { name, value } = parseAssignment(text, "a device, = and a size, such as cuda:0=512MiB");
  if (Object.hasOwn(earlier, name)) throw new InvalidArgumentError(`${name} has one already.`);
  return { ...earlier, [name]: byteSize(value) };
}

/** "blk.(0|1).attn=cuda:0": what lies before the last = is a regular expression. */
export function collectPin(text: string, earlier: readonly DevicePin[] = []): readonly DevicePin[] {
  const { name, value } = parseAssignment(text, "a pattern of units, = and a device, such as 'blk.(0|1).attn=cuda:0'");
  return [...earlier, { pattern: name, device: value }];
}

/** "chat=12GiB" or "chat=40%"; may be given several times, once for each model. */
export function collectClaim(text: string, earlier: Readonly<Record<string, Claim>> = {}): Readonly<Record<string, Claim>> {
  const wanted = "a model, = and a size or a percentage, such as chat=12GiB or chat=40%";
  const { name, value } = parseAssignment(text, wanted);
  if (Object.hasOwn(earlier, name)) throw new InvalidArgumentError(`${name} has one already.`);
  if (!value.endsWith("%")) return { ...earlier, [name]: { bytes: byteSize(value) } };
  const percent = parseNumber(value.slice(0, -1));
  if (!(percent > 0 && percent <= 100)) throw new InvalidArgumentError("A percentage above 0 to 100 is needed.");
  return { ...earlier, [name]: { fraction: percent / 100 } };
}

function parseAssignment(text: string, wanted: string): { readonly name: string; readonly value: string } {
  const [, name, value] = /^(.+)=([^=]+)$/s.exec(text) ?? [];
  if (name === undefined || value === undefined) throw new InvalidArgumentError(`Give ${wanted}.`);
  return { name, value };
}

/** A whole number, or "max": the largest that fits. */
export function wholeNumberOrMax(bounds: Bounds): (text: string) => number | "max" {
  const read = wholeNumberIn(bounds);
  return (text) => (text === "max" ? text : read(text));
}

/** "2s", "1.5s", "800ms", in seconds. */
export function duration(text: string): number {
  const [, number = "", unit] = /^(.+?) ?(ms|s)$/.exec(text) ?? [];
  const seconds = parseNumber(number) / (unit === "ms" ? 1e3 : 1);
  if (!(seconds > 0)) throw new InvalidArgumentError("Give a time with its unit, such as 2s or 800ms.");
  return seconds;
}
