/**
 * How much KV cache is wanted, in the words of the system that somebody comes from. A fraction says nothing without its base, and five systems
 * have five; each is converted by that system's own formula, into bytes, which do not depend on who else is served.
 *
 * With T the card's bytes, F0 those free before the model is loaded, W its weights, F1 = F0 − W, A the peak of its activations, N what else is
 * allocated beside the framework's tensors, and G CUDA graphs, a fraction f is:
 *
 * | name     | system and knob                       | KV cache bytes      |
 * |----------|---------------------------------------|---------------------|
 * | total    | of the card                           | f·T                 |
 * | free     | of what is free before the load       | f·F0                |
 * | lmdeploy | LMDeploy's cache_max_entry_count      | ⌊f·F1⌋              |
 * | lightllm | LightLLM's mem_fraction               | F1 − (1−f)·T        |
 * | sglang   | SGLang's mem-fraction-static          | F1 − (1−f)·F0       |
 * | vllm     | vLLM's gpu_memory_utilization         | f·T − (W+A+N) − G   |
 *
 * LMDeploy's is the meaning since 0.2.2; whole numbers there counted blocks until 0.15 refused them.
 */
import { InvalidRequestError } from "@thermocline/spec";

export const kvFractionMeanings = ["total", "free", "lmdeploy", "lightllm", "vllm", "sglang"] as const;
export type KvFractionMeaning = (typeof kvFractionMeanings)[number];

export type KvBudget =
  | { readonly kind: "bytes"; readonly byteLength: number }
  /** Over all sequences. */
  | { readonly kind: "tokens"; readonly numTokens: number }
  /** Between 0 and 1, neither included. */
  | { readonly kind: KvFractionMeaning; readonly fraction: number };

/** A device's memory when a model comes to it. Bytes. */
export interface KvCard {
  /** T. */
  readonly totalBytes: number;
  /** F0: free before the model is loaded. */
  readonly freeBytes: number;
  /** W. */
  readonly weightBytes: number;
  /** A: at its peak. Default 0. */
  readonly activationBytes?: number;
  /** N: the runtime's context, staging, what changes hands. Default 0. */
  readonly otherBytes?: number;
  /** G. Default 0. */
  readonly graphBytes?: number;
}

const parameter = "kvBudget";
const cure = `write bytes ("4GiB"), tokens ("32768 tokens") or a fraction between 0 and 1 with its meaning (${kvFractionMeanings
  .map((meaning) => `"${meaning}:0.8"`)
  .join(", ")})`;

const unitBytes = { B: 1, kB: 1e3, KB: 1e3, MB: 1e6, GB: 1e9, TB: 1e12, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30, TiB: 2 ** 40 } as const;

/**
 * "4GiB", "32768 tokens", "tokens:32768", "total:0.3", "free:0.5", "lmdeploy:0.8", "lightllm:0.9", "vllm:0.9" or "sglang:0.88".
 * @throws InvalidRequestError that says what is wrong and how to write it.
 */
export function parseKvBudget(text: string): KvBudget {
  const trimmed = text.trim();
  const refuse = (problem: string): never => {
    throw new InvalidRequestError(parameter, text, problem, cure);
  };
  const tokens = /^(?:tokens *: *(\d+)|(\d+) *tokens?)$/.exec(trimmed);
  if (tokens !== null) {
    const numTokens = Number(tokens[1] ?? tokens[2]);
    // Slots travel as 32-bit integers.
    if (numTokens < 1 || numTokens >= 2 ** 31) refuse(`"${text}" is no number of tokens from 1 to 2^31 - 1`);
    return { kind: "tokens", numTokens };
  }
  const size = /^(\d+(?:\.\d+)?) ?([kKMGT]?i?B)$/.exec(trimmed);
  if (size !== null && Object.hasOwn(unitBytes, size[2]!)) {
    const byteLength = Math.floor(Number(size[1]) * unitBytes[size[2] as keyof typeof unitBytes]);
    if (byteLength < 1 || !Number.isSafeInteger(byteLength)) refuse(`"${text}" is no number of bytes that memory can have`);
    return { kind: "bytes", byteLength };
  }
  const [, meaning, value] = /^([a-z]+) *: *(.+)$/i.exec(trimmed) ?? [];
  const kind = kvFractionMeanings.find((candidate) => candidate === meaning?.toLowerCase());
  if (kind === undefined) {
    if (/^[\d.]+%?$/.test(trimmed)) refuse(`"${text}" does not say of what`);
    return refuse(
      meaning === undefined ? `"${text}" is neither bytes nor tokens nor a fraction` : `nobody's meaning is called "${meaning}"`,
    );
  }
  const fraction = /^\d*\.?\d+$/.test(value!) ? Number(value) : Number.NaN;
  if (!(fraction > 0 && fraction < 1)) {
    if (kind === "lmdeploy" && Number.isInteger(fraction) && fraction >= 1)
      refuse(`"${text}" counts blocks, as LMDeploy did before 0.15; a block was 64 tokens: "${fraction * 64} tokens"`);
    refuse(`"${text}" is no fraction between 0 and 1`);
  }
  return { kind, fraction };
}

/**
 * Whole bytes of KV cache on one card, rounded down. A budget in tokens has none before a model is named: see `kvCacheTokensOf`.
 * @throws InvalidRequestError where the budget leaves nothing, with the least fraction that would, or where the system it is named after would
 * not start.
 */
export function kvCacheBytesOf(budget: Exclude<KvBudget, { readonly kind: "tokens" }>, card: KvCard): number {
  if (budget.kind === "bytes") return budget.byteLength;
  const { kind, fraction } = budget;
  const { totalBytes, freeBytes } = checkedCard(card);
  if (kind === "vllm" && Math.ceil(fraction * totalBytes) > freeBytes) {
    const problem = `${kind}:${fraction} asks for ${Math.ceil(fraction * totalBytes)} of ${totalBytes} bytes, ${freeBytes} are free: vLLM does not start so`;
    throw new InvalidRequestError(
      parameter,
      `${kind}:${fraction}`,
      problem,
      `lower the fraction to ${floorTo3(freeBytes / totalBytes)}, or free memory`,
    );
  }
  const { slope, offset } = lineOf(kind, card);
  // A fraction that stands for a whole number of bytes may have been rounded below it, as may its product: by 2^-53 of it each.
  const byteLength = Math.floor(fraction * slope + offset + slope * 2 ** -51);
  if (byteLength > 0) return byteLength;
  const least = ceilTo3((1 - offset) / slope);
  throw new InvalidRequestError(
    parameter,
    `${kind}:${fraction}`,
    `${kind}:${fraction} leaves ${byteLength} bytes for the KV cache`,
    least < 1 ? `raise the fraction to ${least} or more` : "free memory on the device, or place less of the model there",
  );
}

/**
 * The fraction that gives so many bytes on a card, which `kvCacheBytesOf` turns back into them.
 * @throws InvalidRequestError where no fraction between 0 and 1 does.
 */
export function kvFractionOf(kind: KvFractionMeaning, byteLength: number, card: KvCard): number {
  const { slope, offset } = lineOf(kind, checkedCard(card));
  const fraction = (byteLength - offset) / slope;
  if (fraction > 0 && fraction < 1) return fraction;
  throw new InvalidRequestError(
    parameter,
    byteLength,
    `no ${kind} fraction between 0 and 1 gives ${byteLength} bytes; they would take ${fraction}`,
    "ask for fewer bytes, or give them as bytes",
  );
}

type CheckedCard = Required<KvCard>;

/** Bytes of KV cache are fraction · slope + offset. */
function lineOf(kind: KvFractionMeaning, card: KvCard): { readonly slope: number; readonly offset: number } {
  const { totalBytes, freeBytes, weightBytes, activationBytes, otherBytes, graphBytes } = checkedCard(card);
  const freeAfterWeights = freeBytes - weightBytes;
  if (freeAfterWeights <= 0 && (kind === "lmdeploy" || kind === "lightllm" || kind === "sglang"))
    throw new InvalidRequestError(
      parameter,
      kind,
      `${kind} divides what the weights leave: they take ${weightBytes} bytes, ${freeBytes} are free`,
      "place fewer units there, or free memory",
    );
  switch (kind) {
    case "total":
      return { slope: totalBytes, offset: 0 };
    case "free":
      return { slope: freeBytes, offset: 0 };
    case "lmdeploy":
      return { slope: freeAfterWeights, offset: 0 };
    case "lightllm":
      return { slope: totalBytes, offset: freeAfterWeights - totalBytes };
    case "sglang":
      return { slope: freeBytes, offset: freeAfterWeights - freeBytes };
    case "vllm":
      return { slope: totalBytes, offset: -(weightBytes + activationBytes + otherBytes + graphBytes) };
  }
}

/** @throws InvalidRequestError for a card whose figures cannot be. */
function checkedCard(card: KvCard): CheckedCard {
  const checked = { activationBytes: 0, otherBytes: 0, graphBytes: 0, ...card };
  for (const [name, value] of Object.entries(checked)) {
    if (!(typeof value === "number" && value >= 0 && Number.isFinite(value)))
      throw new InvalidRequestError(name, value, `is ${value}`, "give a number of bytes from 0 on");
  }
  const { totalBytes, freeBytes } = checked;
  if (freeBytes > totalBytes || freeBytes === 0)
    throw new InvalidRequestError(
      "freeBytes",
      freeBytes,
      `is ${freeBytes} of ${totalBytes} bytes`,
      "give more than 0 and at most the card's bytes",
    );
  return checked;
}

const ceilTo3 = (fraction: number) => Math.ceil(fraction * 1000) / 1000;
const floorTo3 = (fraction: number) => Math.floor(fraction * 1000) / 1000;
