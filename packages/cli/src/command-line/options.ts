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

/** A number of the kind that JSON knows; "0x10", "" and "Infinity" are none. */
export function parseNumber(text: string): number {
  const value = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text) ? Number(text) : Number.NaN;
  if (!Number.isFinite(value)) throw new InvalidArgumentError("A number is needed.");
  return value;
}

export function parseWholeNumber(text: string): number {
  const value = parseNumber(text);
  if (!Number.isSafeInteger(value)) throw new InvalidArgumentError("A whole number is needed.");
  return value;
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
    .option("--threads <n>", "threads of the CPU backend (default: as many as the machine runs at once)", parseWholeNumber)
    .option("--plan <file>", "offload plan: which units lie on which devices")
    .option("--context <tokens>", "longest prompt and answer together (default: the model's, at most 4096)", parseWholeNumber);
}
