/** Times prefill and decode of an engine apart, at a depth of context. */
import { type Engine, type GenerateUsage, InvalidRequestError } from "@thermocline/spec";
import { type Spread, spreadOf } from "./spread.js";
import { randomTokenIds } from "./token-stream.js";

export interface SpeedRequest {
  /** Tokens of a timed prefill; 0: none is timed. */
  readonly promptTokens: number;
  /** Tokens of a timed decode; 0: none is timed. */
  readonly generateTokens: number;
  /** Tokens that are in the cache before. */
  readonly depth: number;
  readonly repetitions: number;
}

export interface PhaseSpeed {
  /** Tokens timed in a repetition, and the depth at which the first of them lies: of a prefill a multiple of the cache's blocks. */
  readonly tokens: number;
  readonly depth: number;
  readonly tokensPerSecond: Spread;
}

export interface Speed {
  readonly prefill?: PhaseSpeed;
  readonly decode?: PhaseSpeed;
}

/** A decode begins behind at least one token. */
const decodeDepthOf = ({ depth }: SpeedRequest) => Math.max(1, depth);

/** Tokens of context that a measurement takes. */
export function contextLengthOf(request: SpeedRequest): number {
  const { promptTokens, generateTokens, depth } = request;
  return Math.max(depth + promptTokens, decodeDepthOf(request) + generateTokens) + 1;
}

/** Repeats each phase once more than asked, first to warm up. The engine keeps prefixes for reuse. @throws the signal's reason. */
export async function measureSpeed(
  engine: Pick<Engine, "generate">,
  vocabSize: number,
  request: SpeedRequest,
  signal: AbortSignal,
  onRepetition: () => void = () => {},
): Promise<Speed> {
  const { promptTokens, generateTokens, depth, repetitions } = request;
  const prefix = randomTokenIds(decodeDepthOf(request), vocabSize, 0);
  const generate = (prompt: readonly number[], maxTokens: number) => timeGeneration(engine, prompt, maxTokens, signal);
  const repeat = async (measureOnce: (repetition: number) => Promise<PhaseSample>): Promise<PhaseSpeed> => {
    const samples: PhaseSample[] = [];
    for (let repetition = 0; repetition <= repetitions; repetition++) {
      samples.push(await measureOnce(repetition));
      onRepetition();
    }
    const measured = samples.slice(1);
    const tokensPerSecond = spreadOf(measured.map(({ tokens, milliseconds }) => (tokens * 1000) / milliseconds));
    return { tokens: measured[0]!.tokens, depth: measured[0]!.depth, tokensPerSecond };
  };
  const prefillOnce = async (repetition: number): Promise<PhaseSample> => {
    if (depth > 0) await generate(prefix, 1);
    // Ids of an earlier repetition would be in the cache.
    const prompt = [...(depth > 0 ? prefix : []), ...randomTokenIds(promptTokens, vocabSize, repetition + 1)];
    const { cachedPromptTokens, timeToFirstTokenMs } = await generate(prompt, 1);
    return { tokens: prompt.length - cachedPromptTokens, depth: cachedPromptTokens, milliseconds: timeToFirstTokenMs };
  };
  const decodeOnce = async (): Promise<PhaseSample> => {
    const { completionTokens, decodeMs } = await generate(prefix, generateTokens + 1);
    // The first token comes with the prompt's step.
    return { tokens: completionTokens - 1, depth: prefix.length, milliseconds: decodeMs };
  };
  return {
    ...(promptTokens > 0 && { prefill: await repeat(prefillOnce) }),
    ...(generateTokens > 0 && { decode: await repeat(decodeOnce) }),
  };
}

interface PhaseSample {
  readonly tokens: number;
  readonly depth: number;
  readonly milliseconds: number;
}

async function timeGeneration(
  engine: Pick<Engine, "generate">,
  prompt: readonly number[],
  maxTokens: number,
  signal: AbortSignal,
): Promise<GenerateUsage> {
  const request = { prompt, maxTokens, ignoreEos: true, sampling: { temperature: 0, seed: 0 } };
  for await (const event of engine.generate(request, { signal })) {
    signal.throwIfAborted();
    if (event.type === "end") return event.usage;
  }
  throw new InvalidRequestError("engine", "disposed", "ended a generation without saying so", "open the model again");
}
