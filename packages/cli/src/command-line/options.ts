/** Options that several commands share, and how their values are read. */
import { type Command, InvalidArgumentError, Option } from "commander";
import type { OpenOptions } from "../open.js";

export interface ModelOptions {
  readonly backend: OpenOptions["backend"];
  readonly isa?: OpenOptions["isa"];
  readonly threads?: number;
  readonly plan?: string;
  readonly context?: number;
  readonly json?: boolean;
}

/** Likeliest tokens whose log-probabilities an engine tells. */
export const mostLogprobs = 20;

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

/** Reads a number of the kind that JSON knows; "0x10", "" and "Infinity" are none. */
export function numberIn(bounds: Bounds): (text: string) => number {
  return (text) => checked(parseNumber(text), Number.isFinite, "number", bounds);
}

export function wholeNumberIn(bounds: Bounds): (text: string) => number {
  return (text) => checked(parseNumber(text), Number.isSafeInteger, "whole number", bounds);
}

function parseNumber(text: string): number {
  return /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text) ? Number(text) : Number.NaN;
}

/** @throws InvalidArgumentError; commander puts the option and its value before it. */
function checked(value: number, isKind: (value: number) => boolean, kind: string, bounds: Bounds): number {
  const limits = Object.entries(bounds) as [keyof Bounds, number][];
  if (isKind(value) && limits.every(([name, bound]) => boundTests[name](value, bound))) return value;
  throw new InvalidArgumentError(`A ${[kind, ...limits.flat()].join(" ")} is needed.`);
}

/** For options that may be given several times. */
export function collect(value: string, earlier: readonly string[] = []): readonly string[] {
  return [...earlier, value];
}

/** The options of every command that loads a model. */
export function addModelOptions(command: Command): Command {
  return command
    .addOption(
      new Option("--backend <name>", "what computes; auto: cpu, or reference where the addon is missing")
        .choices(["auto", "cpu", "reference"])
        .default("auto"),
    )
    .addOption(new Option("--isa <name>", "pin the CPU backend to an instruction set").choices(["scalar", "avx2", "avx512"]))
    .option("--threads <n>", "threads of the CPU backend (default: as many as the machine runs at once)", wholeNumberIn({ from: 1 }))
    .option("--plan <file>", "offload plan: which units lie on which devices")
    .option("--context <tokens>", "longest prompt and answer together (default: the model's, at most 4096)", wholeNumberIn({ from: 1 }));
}
