/** Errors of the library, said in the words of the command line. */
import type { InvalidRequestError, PlanRemedy, ThermoclineError } from "@thermocline/spec";
import { cureOf, remedyInOptions } from "../planning/remedy.js";

const optionOfParameter: Readonly<Record<string, string>> = {
  backend: "--backend",
  batch: "--batch",
  budgets: "--budget",
  budgetBytes: "--budget",
  claims: "--claim",
  contextDepth: "--depth",
  contextLength: "--context",
  cpuExperts: "--cpu-experts",
  drySequenceBreakers: "--dry-sequence-breaker",
  isa: "--isa",
  keyCacheDType: "--kv-type-k",
  kvBudget: "--kv-budget",
  kvCacheTokens: "--kv-budget",
  logitBias: "--logit-bias",
  machine: "--machine",
  maxBatchTokens: "--batch-tokens",
  maxGpuLayers: "--max-gpu-layers",
  maxSequences: "--sequences",
  maxTimeToFirstTokenSeconds: "--max-ttft",
  maxTokens: "--max-tokens",
  minTokens: "--min-tokens",
  minTokensPerSecond: "--min-tokens-per-second",
  outputTokens: "--output-tokens",
  plan: "--plan",
  promptTokens: "--prompt-tokens",
  ramBytes: "--ram",
  reserveBytes: "--reserve",
  threads: "--threads",
  valueCacheDType: "--kv-type-v",
  vramBytes: "--vram",
};

/** Parameters whose names are no words that a sentence uses as well. */
const unmistakable = new RegExp(
  `(?<![.\\w])(${Object.keys(optionOfParameter)
    .filter((name) => /[A-Z]/.test(name))
    .join("|")})\\b`,
  "g",
);

/** The error's message with options in place of the parameters of `open`, `generate` and `createPlan` that they become. */
export function messageWithOptions(error: ThermoclineError): string {
  const remedy = (error as { readonly remedy?: PlanRemedy }).remedy;
  if (remedy !== undefined && error.message.endsWith(error.cure))
    return `${error.message.slice(0, -error.cure.length)}${whoseOf(error.cure)}${cureOf(remedy, remedyInOptions(remedy))}`;
  // A plan's fields have the same names, and are meant.
  if (error.code === "invalid-plan") return error.message;
  return nameParameter(error).replace(unmistakable, (name) => optionOfParameter[name]!);
}

/** "for chat: " where a cure is for one of several models. */
function whoseOf(cure: string): string {
  return /^for .+?: /.exec(cure)?.[0] ?? "";
}

function nameParameter(error: ThermoclineError): string {
  if (!(error.code === "invalid-request" && "parameter" in error)) return error.message;
  const { parameter } = error as InvalidRequestError;
  const option = optionOf(parameter);
  return option === undefined || !error.message.startsWith(`${parameter}:`)
    ? error.message
    : option + error.message.slice(parameter.length);
}

/** Of `contextLength`, `workload.batch` or `budgets["cuda:0"].reserveBytes`. */
function optionOf(parameter: string): string | undefined {
  const [, device, limit] = /^budgets\["(.+)"\]\.(\w+)$/.exec(parameter) ?? [];
  if (device !== undefined && limit !== undefined) return `${optionOfParameter[limit] ?? limit} ${device}`;
  const name = parameter.replace(/^(?:settings|workload)\./, "");
  return Object.hasOwn(optionOfParameter, name) ? optionOfParameter[name] : undefined;
}
