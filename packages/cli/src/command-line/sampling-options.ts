/** Sampling parameters as options and as fields of a saved chat: one table for their names, ranges and help. */
import { defaultSampling, type SamplingParams } from "@thermocline/spec";
import { type Command, Option } from "commander";
import { type Bounds, collect, collectBias, describeNumber, isWithin, numberIn, type TokenBias, wholeNumberIn } from "./option-values.js";

export type NumericSamplingParameter = Exclude<keyof SamplingParams, "drySequenceBreakers">;

interface NumericOption {
  readonly name: NumericSamplingParameter;
  /** `--top-k <k>` */
  readonly flags: string;
  readonly help: string;
  readonly whole?: true;
  readonly bounds: Bounds;
}

const seedOption: NumericOption = {
  name: "seed",
  flags: "--seed <n>",
  help: "equal seeds give equal text (default: a new one each time)",
  whole: true,
  bounds: { from: Number.MIN_SAFE_INTEGER, to: Number.MAX_SAFE_INTEGER },
};

const choiceOptions: readonly NumericOption[] = [
  { name: "temperature", flags: "--temperature <t>", help: "0: always the most likely token", bounds: { from: 0 } },
  { name: "topK", flags: "--top-k <k>", help: "draw from the k most likely tokens; 0: all", whole: true, bounds: { from: 0 } },
  { name: "topP", flags: "--top-p <p>", help: "draw from the most likely tokens that sum to p; 1: all", bounds: { above: 0, to: 1 } },
  { name: "minP", flags: "--min-p <p>", help: "leave out tokens less likely than p times the likeliest", bounds: { from: 0, below: 1 } },
  {
    name: "typicalP",
    flags: "--typical-p <p>",
    help: "draw from the tokens that sum to p whose surprise is nearest the expected one; 1: all",
    bounds: { above: 0, to: 1 },
  },
  {
    name: "topNSigma",
    flags: "--top-n-sigma <n>",
    help: "leave out tokens whose logit is over n standard deviations below the best; 0: none",
    bounds: { from: 0 },
  },
  {
    name: "xtcProbability",
    flags: "--xtc-probability <p>",
    help: "how often the top choices but the last are left out; 0: never",
    bounds: { from: 0, to: 1 },
  },
  { name: "xtcThreshold", flags: "--xtc-threshold <p>", help: "how likely a top choice is at least", bounds: { from: 0, to: 1 } },
];

const mirostatOptions: readonly NumericOption[] = [
  {
    name: "mirostatTau",
    flags: "--mirostat-tau <bits>",
    help: "mirostat 2 instead of the choices above, with this target surprise; 0: off",
    bounds: { from: 0 },
  },
  { name: "mirostatEta", flags: "--mirostat-eta <rate>", help: "how fast mirostat corrects itself", bounds: { from: 0 } },
];

const penaltyOptions: readonly NumericOption[] = [
  { name: "repetitionPenalty", flags: "--repetition-penalty <r>", help: "above 1: repeat recent tokens less", bounds: { above: 0 } },
  { name: "presencePenalty", flags: "--presence-penalty <x>", help: "taken from the logits of tokens that occurred", bounds: {} },
  { name: "frequencyPenalty", flags: "--frequency-penalty <x>", help: "taken from them for each time that they occurred", bounds: {} },
  {
    name: "penaltyLastN",
    flags: "--penalty-last-n <n>",
    help: "how many recent tokens these three see; 0: none",
    whole: true,
    bounds: { from: 0 },
  },
  { name: "dryMultiplier", flags: "--dry-multiplier <x>", help: "DRY: strength against repeated sequences; 0: none", bounds: { from: 0 } },
  { name: "dryBase", flags: "--dry-base <b>", help: "DRY: growth with each repeated token", bounds: { from: 1 } },
  {
    name: "dryAllowedLength",
    flags: "--dry-allowed-length <n>",
    help: "DRY: repetitions shorter than this go unpunished",
    whole: true,
    bounds: { from: 0 },
  },
  {
    name: "dryLastN",
    flags: "--dry-last-n <n>",
    help: "DRY: how many recent tokens are searched; -1: all of the context",
    whole: true,
    bounds: { from: -1 },
  },
];

const numericOptions = new Map(
  [...choiceOptions, seedOption, ...mirostatOptions, ...penaltyOptions].map((option) => [option.name, option]),
);

/** What the options of a command say about sampling; what was not given is absent. */
export interface SamplingOptions extends Partial<Record<NumericSamplingParameter, number>> {
  readonly drySequenceBreaker?: readonly string[];
  readonly logitBias?: readonly TokenBias[];
  readonly minTokens?: number;
}

export function addSamplingOptions(command: Command): Command {
  addNumeric(command, "Sampling:", [...choiceOptions, seedOption]);
  addNumeric(command, "Mirostat:", mirostatOptions);
  addNumeric(command, "Penalties and biases:", penaltyOptions);
  const bias = new Option("--logit-bias <id=bias>", "added to a token's logit, -inf bans it; may be given several times");
  const breaker = new Option("--dry-sequence-breaker <text>", "DRY: no repetition reaches across it; may be given several times");
  const minTokens = new Option("--min-tokens <n>", "the model may not end before so many tokens (default: 0)");
  for (const option of [breaker.argParser(collect), bias.argParser(collectBias), minTokens.argParser(wholeNumberIn({ from: 0 }))])
    command.addOption(option.helpGroup("Penalties and biases:"));
  return command;
}

function addNumeric(command: Command, group: string, options: readonly NumericOption[]): void {
  for (const { name, flags, help, whole, bounds } of options) {
    const shown = name === "seed" ? help : `${help} (default: ${defaultSampling[name]})`;
    command.addOption(new Option(flags, shown).argParser((whole ? wholeNumberIn : numberIn)(bounds)).helpGroup(group));
  }
}

/** The parameters for an engine, with what was not given left to it. */
export function samplingOf(options: SamplingOptions): Partial<SamplingParams> {
  const given = [...numericOptions.keys()].flatMap((name) => (options[name] === undefined ? [] : [[name, options[name]]]));
  const breakers = options.drySequenceBreaker;
  return { ...Object.fromEntries(given), ...(breakers === undefined ? {} : { drySequenceBreakers: breakers }) };
}

/** What is wrong with a sampling parameter that a file names, or undefined where nothing is. */
export function problemOfSampling(name: string, value: unknown): string | undefined {
  if (name === "drySequenceBreakers")
    return Array.isArray(value) && value.every((text) => typeof text === "string" && text !== "") ? undefined : "is no list of texts";
  const option = numericOptions.get(name as NumericSamplingParameter);
  if (option === undefined) return "is no sampling parameter";
  const { whole, bounds } = option;
  const isKind = typeof value === "number" && (whole ? Number.isSafeInteger(value) : Number.isFinite(value));
  return isKind && isWithin(value, bounds) ? undefined : `is no ${describeNumber(whole ? "whole number" : "number", bounds)}`;
}
