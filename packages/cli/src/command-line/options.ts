/** Options that several commands share. */
import { type Command, Option } from "commander";
import type { OpenOptions } from "../open.js";
import { wholeNumberIn } from "./option-values.js";

export interface ModelOptions {
  readonly backend?: OpenOptions["backend"];
  readonly isa?: OpenOptions["isa"];
  readonly threads?: number;
  readonly plan?: string;
  readonly context?: number;
  readonly batchTokens?: number;
  readonly kvType?: KvType;
  readonly kvTypeK?: KvType;
  readonly kvTypeV?: KvType;
  readonly json?: boolean;
}

/** Likeliest tokens whose log-probabilities an engine tells. */
export const mostLogprobs = 20;

export const kvTypes = ["f16", "f32", "q8_0", "q4_0"] as const;
export type KvType = (typeof kvTypes)[number];

const group = "Model and devices:";

/** Options of every command that loads a model; `threads` and `context`: their help, false where a command has none or its own. */
export function addModelOptions(
  command: Command,
  {
    threads = "threads of the CPU backend (default: as many as the machine runs at once)",
    context = "longest prompt and answer together (default: the model's, at most 4096)",
    keyValueCache = true,
  }: { readonly threads?: string | false; readonly context?: string | false; readonly keyValueCache?: boolean } = {},
): Command {
  const positive = wholeNumberIn({ from: 1 });
  const options = [
    new Option("--backend <name>", "what computes; auto: cpu, or reference where the addon is missing")
      .choices(["auto", "cpu", "reference"])
      .default("auto"),
    new Option("--isa <name>", "pin the CPU backend to an instruction set").choices(["scalar", "avx2", "avx512"]),
    ...(threads === false ? [] : [new Option("--threads <n>", threads).argParser(positive)]),
    new Option("--plan <file>", "offload plan: which units lie on which devices"),
    ...(context === false ? [] : [new Option("--context <tokens>", context).argParser(positive)]),
    new Option("--batch-tokens <n>", "tokens in one step, at most: the pieces of a prompt (default: 256)").argParser(positive),
    ...(keyValueCache ? keyValueOptions() : []),
  ];
  for (const option of options) command.addOption(option.helpGroup(group));
  return command;
}

function keyValueOptions(): readonly Option[] {
  return [
    new Option("--kv-type <type>", "type of cached keys and values (default: f16, on the reference backend f32)").choices(kvTypes),
    new Option("--kv-type-k <type>", "of keys alone").choices(kvTypes),
    new Option("--kv-type-v <type>", "of values alone").choices(kvTypes),
  ];
}

/** How `open` is to open a model that a command's options describe. */
export function openOptionsOf(options: ModelOptions): OpenOptions {
  const { backend, isa, threads, plan, context, batchTokens, kvType, kvTypeK = kvType, kvTypeV = kvType } = options;
  return {
    backend,
    isa,
    threads,
    plan,
    contextLength: context,
    maxBatchTokens: batchTokens,
    keyCacheDType: kvTypeK,
    valueCacheDType: kvTypeV,
  };
}
