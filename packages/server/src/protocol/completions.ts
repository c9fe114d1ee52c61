/** Wire types of `POST /v1/completions`, and reading its body. Fields are OpenAI's, spelled as on the wire. */
import { type GenerateRequest, type GenerateUsage, InvalidRequestError, type SamplingParams } from "@thermocline/spec";

export interface CompletionChoice {
  readonly index: 0;
  readonly text: string;
  readonly logprobs: null;
  /** null in every streamed chunk but the last with text. */
  readonly finish_reason: "stop" | "length" | null;
}

export interface CompletionUsage {
  readonly prompt_tokens: number;
  readonly completion_tokens: number;
  readonly total_tokens: number;
}

/** A whole response, and each chunk of a streamed one. */
export interface Completion {
  readonly id: string;
  readonly object: "text_completion";
  readonly created: number;
  readonly model: string;
  readonly choices: readonly CompletionChoice[];
  readonly usage?: CompletionUsage;
}

export interface CompletionRequest {
  /** Absent: whichever model is served. */
  readonly model?: string;
  readonly stream: boolean;
  /** `stream_options.include_usage`: one more chunk, without choices, at the end of a stream. */
  readonly includeUsage: boolean;
  readonly generate: GenerateRequest;
}

export function toWireUsage({ promptTokens, completionTokens }: GenerateUsage): CompletionUsage {
  return { prompt_tokens: promptTokens, completion_tokens: completionTokens, total_tokens: promptTokens + completionTokens };
}

/** OpenAI's own default. */
const defaultMaxTokens = 16;

/** Accepted only with the value that means "off": another one would change the text, and nothing here computes that. */
const neutralValues: Readonly<Record<string, unknown>> = {
  n: 1,
  best_of: 1,
  echo: false,
  suffix: "",
};
const ignored = new Set(["user", "metadata"]);

type NumericParameter = Exclude<keyof SamplingParams, "drySequenceBreakers">;

/** OpenAI's fields, and the names that other servers of open models give to what OpenAI lacks. */
const samplingFields: Readonly<Record<string, NumericParameter>> = {
  temperature: "temperature",
  top_p: "topP",
  top_k: "topK",
  min_p: "minP",
  typical_p: "typicalP",
  top_n_sigma: "topNSigma",
  xtc_probability: "xtcProbability",
  xtc_threshold: "xtcThreshold",
  mirostat_tau: "mirostatTau",
  mirostat_eta: "mirostatEta",
  repetition_penalty: "repetitionPenalty",
  presence_penalty: "presencePenalty",
  frequency_penalty: "frequencyPenalty",
  seed: "seed",
};

/** As OpenAI bounds it. */
const largestLogitBias = 100;

const fieldOfParameter: ReadonlyMap<string, string> = new Map([
  ...Object.entries(samplingFields).map(([field, parameter]) => [parameter, field] as const),
  ["maxTokens", "max_tokens"],
  ["minTokens", "min_tokens"],
  ["logitBias", "logit_bias"],
  ["ignoreEos", "ignore_eos"],
]);

/** How a parameter that an engine's InvalidRequestError names is spelled on the wire. */
export function wireName(parameter: string): string {
  return fieldOfParameter.get(parameter) ?? parameter;
}

/**
 * Sampling fields that the body does not name are left to the engine, and so are the ranges of those that it does: the engine refuses at
 * its first event.
 * @throws InvalidRequestError naming the field.
 */
export function parseCompletionRequest(body: unknown): CompletionRequest {
  if (typeof body !== "object" || body === null || Array.isArray(body))
    throw refuse("body", body, "is no JSON object", "send an object with a prompt");
  // null means absent on this wire.
  const fields = new Map(Object.entries(body).filter(([, value]) => value !== null));
  const take = (name: string): unknown => {
    const value = fields.get(name);
    fields.delete(name);
    return value;
  };
  const prompt = readPrompt(take("prompt"));
  const model = take("model");
  if (model !== undefined && typeof model !== "string") throw refuse("model", model, "is no string", "send the id of a model");
  const stream = readBoolean("stream", take("stream"));
  const includeUsage = readStreamOptions(take("stream_options"));
  const maxTokens = readMaxTokens(take("max_tokens") ?? defaultMaxTokens);
  const stop = readStop(take("stop"));
  const minTokens = readMinTokens(take("min_tokens"), maxTokens);
  const logitBias = readLogitBias(take("logit_bias"));
  const ignoreEos = readBoolean("ignore_eos", take("ignore_eos"));
  const sampling: Partial<Record<NumericParameter, number>> = {};
  for (const [field, parameter] of Object.entries(samplingFields)) {
    const value = take(field);
    if (value === undefined) continue;
    if (typeof value !== "number") throw refuse(field, value, `is ${JSON.stringify(value)}`, "send a number");
    sampling[parameter] = value;
  }
  for (const [field, neutral] of Object.entries(neutralValues)) {
    const value = take(field);
    if (value !== undefined && value !== neutral)
      throw refuse(field, value, "is not supported", `leave it out or send ${JSON.stringify(neutral)}`);
  }
  for (const [field, value] of fields)
    if (!ignored.has(field)) throw refuse(field, value, "is not supported by this server", "leave it out");
  const optional = { ...(minTokens !== undefined && { minTokens }), ...(logitBias !== undefined && { logitBias }) };
  const generate = { prompt, sampling, maxTokens, stop, ignoreEos, ...optional };
  return { ...(model !== undefined && { model }), stream, includeUsage, generate };
}

function refuse(parameter: string, value: unknown, problem: string, cure: string): InvalidRequestError {
  return new InvalidRequestError(parameter, value, problem, cure);
}

function readPrompt(value: unknown): string | readonly number[] {
  const prompt = Array.isArray(value) && value.length === 1 && typeof value[0] !== "number" ? value[0] : value;
  if (typeof prompt === "string") return prompt;
  if (Array.isArray(prompt) && prompt.every((id) => Number.isSafeInteger(id) && id >= 0)) return prompt;
  throw refuse("prompt", value, "is neither one text nor one list of token ids", "send a string or an array of token ids");
}

function readMaxTokens(value: unknown): number {
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 1)
    throw refuse("max_tokens", value, `is ${JSON.stringify(value)}`, "send an integer from 1");
  return value;
}

function readMinTokens(value: unknown, maxTokens: number): number | undefined {
  if (value === undefined) return undefined;
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 0 || value > maxTokens)
    throw refuse("min_tokens", value, `is ${JSON.stringify(value)}`, `send an integer from 0 to max_tokens, which is ${maxTokens}`);
  return value;
}

/** A JSON object from token ids to biases. */
function readLogitBias(value: unknown): readonly (readonly [number, number])[] | undefined {
  if (value === undefined) return undefined;
  const cure = 'send an object such as { "50256": -100 }';
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw refuse("logit_bias", value, "is no object", cure);
  return Object.entries(value).map(([key, bias]) => {
    if (!/^\d+$/.test(key)) throw refuse("logit_bias", key, `names ${JSON.stringify(key)}, which is no token id`, cure);
    if (typeof bias !== "number" || Math.abs(bias) > largestLogitBias)
      throw refuse(
        "logit_bias",
        bias,
        `of token ${key} is ${JSON.stringify(bias)}`,
        `send numbers from -${largestLogitBias} to ${largestLogitBias}`,
      );
    return [Number(key), bias] as const;
  });
}

function readBoolean(parameter: string, value: unknown): boolean {
  if (value !== undefined && typeof value !== "boolean")
    throw refuse(parameter, value, `is ${JSON.stringify(value)}`, "send true or false");
  return value ?? false;
}

function readStreamOptions(value: unknown): boolean {
  if (value === undefined) return false;
  if (typeof value !== "object" || value === null) throw refuse("stream_options", value, "is no object", 'send { "include_usage": true }');
  return readBoolean("stream_options.include_usage", (value as { readonly include_usage?: unknown }).include_usage);
}

function readStop(value: unknown): readonly string[] {
  const stop = value === undefined ? [] : Array.isArray(value) ? value : [value];
  if (!stop.every((text) => typeof text === "string" && text !== ""))
    throw refuse("stop", value, "holds something that is no text", "send a string or strings");
  return stop;
}
