/** Options that several commands share. */
import { type Command, Option } from "commander";
import type { OpenOptions } from "../open.js";
import { collectDeviceSize, wholeNumberIn, wholeNumberOrMax } from "./option-values.js";

export interface ModelOptions {
  readonly backend?: OpenOptions["backend"];
  readonly isa?: OpenOptions["isa"];
  readonly threads?: number;
  readonly plan?: string;
  readonly context?: number | "max";
  readonly batchTokens?: number;
  readonly kvType?: KvType;
  readonly kvTypeK?: KvType;
  readonly kvTypeV?: KvType;
  readonly kvBudget?: string;
  readonly budget?: Readonly<Record<string, number>>;
  readonly reserve?: Readonly<Record<string, number>>;
  readonly json?: boolean;
}

/** Likeliest tokens whose log-probabilities an engine tells. */
export const mostLogprobs = 20;

export const kvTypes = ["f16", "f32", "q8_0", "q4_0"] as const;
export type KvType = (typeof kvTypes)[number];

const group = "Model and devices:";

export const kvBudgetForms = "4GiB, tokens:32768, total:0.3, or what lmdeploy:0.8, lightllm:0.9, vllm:0.9 or sglang:0.88 give there";

/** Options of every command that loads a model; `threads` and `context`: their help, false where a command has none or its own. */
export function addModelOptions(
  command: Command,
  {
    threads = "threads of the CPU backend (default: as many as the machine runs at once)",
    context,
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
    ...(context === false ? [] : [contextOption(context)]),
    new Option("--batch-tokens <n>", "tokens in one step, at most: the pieces of a prompt (default: 256)").argParser(positive),
    ...(keyValueCache ? keyValueOptions() : []),
    new Option("--budget <device=size>", "reserve at most so much on a device; for each device once").argParser(collectDeviceSize),
    new Option("--reserve <device=size>", "of a device's budget, bytes that always stay free; for each device once").argParser(
      collectDeviceSize,
    ),
  ];
  for (const option of options) command.addOption(option.helpGroup(group));
  return command;
}

/** A command whose own help says what its context is for takes no "max". */
function contextOption(help: string | undefined): Option {
  if (help !== undefined) return new Option("--context <tokens>", help).argParser(wholeNumberIn({ from: 1 }));
  const usual = "longest prompt and answer together; max: the longest that fits (default: the plan's, else the model's, at most 4096)";
  return new Option("--context <tokens>", usual).argParser(wholeNumberOrMax({ from: 1 }));
}

function keyValueOptions(): readonly Option[] {
  return [
    new Option("--kv-type <type>", "type of cached keys and values (default: f16, on the reference backend f32)").choices(kvTypes),
    new Option("--kv-type-k <type>", "of keys alone").choices(kvTypes),
    new Option("--kv-type-v <type>", "of values alone").choices(kvTypes),
    new Option("--kv-budget <budget>", `memory of the KV cache: ${kvBudgetForms}`),
  ];
}

/** How `open` is to open a model that a command's options describe. */
export function openOptionsOf(options: ModelOptions): OpenOptions {
  const { backend, isa, threads, plan, context, batchTokens, kvType, kvTypeK = kvType, kvTypeV = kvType } = options;
  const { kvBudget, budget, reserve } = options;
  return {
    backend,
    isa,
    threads,
    plan,
    contextLength: context,
    maxBatchTokens: batchTokens,
    keyCacheDType: kvTypeK,
    valueCacheDType: kvTypeV,
    kvBudget,
    budgetBytes: budget,
    reserveBytes: reserve,
  };
}
