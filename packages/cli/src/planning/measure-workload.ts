/** How fast an engine carries out a workload: prefill and decode apart, at a depth of context that is reached once. */
import type { Engine, GenerateRequest, Workload } from "@thermocline/spec";

export interface MeasuredSpeed {
  /** Of all prompts of a batch together. */
  readonly prefillTokensPerSecond: number;
  /** Of all sequences of a batch together. */
  readonly decodeTokensPerSecond: number;
}

/**
 * A part of a workload that takes seconds and not minutes, of at least one prompt token and one step: decoding keeps its batch, and its depth
 * where that is affordable.
 */
export function scaleWorkload(workload: Workload, limits: Workload, contextLength: number): Workload {
  const outputTokens = Math.max(1, Math.min(workload.outputTokens, limits.outputTokens, Math.floor(contextLength / 4)));
  const mostPrompt = Math.floor((contextLength - outputTokens) / 2);
  const promptTokens = Math.max(1, Math.min(workload.promptTokens, limits.promptTokens, mostPrompt));
  const mostDepth = contextLength - promptTokens - outputTokens - spareTokens;
  const contextDepth = Math.max(0, Math.min(workload.contextDepth, limits.contextDepth, mostDepth));
  return { promptTokens, outputTokens, contextDepth, batch: Math.min(workload.batch, limits.batch) };
}

/** Sequences that began earlier decode while the last ones are read, so each gets a few tokens more than the workload has. */
const spareTokens = 8;

/** Tokens that a sequence of the workload takes. */
export function contextLengthFor({ contextDepth, promptTokens, outputTokens }: Workload): number {
  return contextDepth + promptTokens + outputTokens + spareTokens;
}

export class WorkloadMeasurement {
  readonly #prefixes: readonly (readonly number[])[];

  /** @param vocabSize Of the engine's model. */
  constructor(
    private readonly engine: Engine,
    private readonly vocabSize: number,
    private readonly workload: Workload,
  ) {
    this.#prefixes = Array.from({ length: workload.batch }, (_, sequence) =>
      tokenIdsOf(vocabSize, workload.contextDepth, firstPrefix + sequence),
    );
  }

  /** Reads the tokens before the prompts, which later rounds find in the prefix cache, and warms everything up. */
  async prepare(signal?: AbortSignal): Promise<void> {
    for (const prefix of this.#prefixes) await this.#generate([...prefix, 0], 2, signal);
  }

  /** Reads prompts that no other round had, and answers them. @throws the signal's reason. */
  async run(round: number, signal?: AbortSignal): Promise<MeasuredSpeed> {
    const { promptTokens, outputTokens, batch } = this.workload;
    const numTokens = outputTokens + (batch > 1 ? spareTokens : 0);
    const startedAtMs = performance.now();
    const sequences = await Promise.all(
      this.#prefixes.map((prefix, sequence) => {
        const prompt = [...prefix, ...tokenIdsOf(this.vocabSize, promptTokens, round * batch + sequence)];
        return this.#generate(prompt, numTokens + 1, signal);
      }),
    );
    const lastStartMs = Math.max(...sequences.map(({ tokensAtMs }) => tokensAtMs[0]!));
    const firstEndMs = Math.min(...sequences.map(({ tokensAtMs }) => tokensAtMs.at(-1)!));
    const numRead = sequences.reduce((sum, { numRead }) => sum + numRead, 0);
    // All sequences decode from the last one's first token to the first one's last.
    const numDecoded = sequences.reduce(
      (sum, { tokensAtMs }) => sum + tokensAtMs.filter((atMs) => atMs > lastStartMs && atMs <= firstEndMs).length,
      0,
    );
    return {
      prefillTokensPerSecond: (numRead / (lastStartMs - startedAtMs)) * 1000,
      decodeTokensPerSecond: (numDecoded / (firstEndMs - lastStartMs)) * 1000,
    };
  }

  async #generate(prompt: readonly number[], maxTokens: number, signal?: AbortSignal) {
    const request: GenerateRequest = { prompt, maxTokens, ignoreEos: true, sampling: { temperature: 0 } };
    const tokensAtMs: number[] = [];
    let numRead = 0;
    for await (const event of this.engine.generate(request, signal && { signal })) {
      const atMs = performance.now();
      if (event.type === "end") numRead = event.usage.promptTokens - event.usage.cachedPromptTokens;
      else for (const _ of event.tokenIds) tokensAtMs.push(atMs);
    }
    signal?.throwIfAborted();
    return { tokensAtMs, numRead };
  }
}

/** Variants from here on are of prefixes, those before of rounds. */
const firstPrefix = 1_000_000;

/** Other token ids for each variant: what they say does not matter, but no two prompts may begin alike. */
function tokenIdsOf(vocabSize: number, length: number, variant: number): readonly number[] {
  return Array.from({ length }, (_, index) => (index * 7919 + variant * 104_729 + Math.floor(variant / vocabSize)) % vocabSize);
}
