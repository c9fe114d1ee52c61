/** Errors of the library, said in the words of the command line. */
import type { InvalidRequestError, ThermoclineError } from "@thermocline/spec";

const optionOfParameter: Readonly<Record<string, string>> = {
  backend: "--backend",
  contextLength: "--context",
  drySequenceBreakers: "--dry-sequence-breaker",
  isa: "--isa",
  keyCacheDType: "--kv-type-k",
  logitBias: "--logit-bias",
  maxBatchTokens: "--batch-tokens",
  maxTokens: "--max-tokens",
  minTokens: "--min-tokens",
  plan: "--plan",
  threads: "--threads",
  valueCacheDType: "--kv-type-v",
};

/** Parameters whose names are no words that a sentence uses as well. */
const unmistakable = new RegExp(
  `\\b(${Object.keys(optionOfParameter)
    .filter((name) => /[A-Z]/.test(name))
    .join("|")})\\b`,
  "g",
);

/** The error's message with options in place of the parameters of `open` and `generate` that they become. */
export function messageWithOptions(error: ThermoclineError): string {
  if (!(error.code === "invalid-request" && "parameter" in error)) return error.message;
  const { parameter } = error as InvalidRequestError;
  const option = Object.hasOwn(optionOfParameter, parameter) ? optionOfParameter[parameter] : undefined;
  const named =
    option === undefined || !error.message.startsWith(`${parameter}:`) ? error.message : option + error.message.slice(parameter.length);
  return named.replace(unmistakable, (name) => optionOfParameter[name]!);
}
