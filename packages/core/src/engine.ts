/** A model on its devices, serving any number of requests at once. */
import {
  type Backend,
  type DeviceMemoryReport,
  type Engine,
  type EngineStatistics,
  type GenerateEvent,
  type GenerateRequest,
  InvalidRequestError,
  type KvCacheStatistics,
  type MemoryLedger,
  type ModelConfig,
  type PositionLogits,
  type ScoreRequest,
  ThermoclineError,
  type Tokenizer,
} from "@thermocline/spec";
import { readModelConfig } from "./config/model-config.js";
import { type EngineOptions, stepLimitsOf } from "./engine-options.js";
import { Generation } from "./generation.js";
import type { KvCacheBlock } from "./graph/model-graph.js";
import type { StepLimits } from "./graph/step-limits.js";
import { KvCache } from "./kv-cache/kv-cache.js";
import type { ModelMemory } from "./model-memory.js";
import { ModelRunner, type StepResult } from "./model-runner.js";
import { devicesOf, placeModel, reportMemory } from "./placed-model.js";
import {
  checkedLogitBias,
  checkedLogprobs,
  checkedMinTokens,
  checkedSampling,
  checkedStop,
  checkedTokenIds,
  checkScoring,
} from "./request-checks.js";
import { createSamplingPipeline } from "./sampling/sampling-pipeline.js";
import { VocabularyTexts } from "./sampling/vocabulary-texts.js";
import { type Batch, Scheduler } from "./scheduling/scheduler.js";
import { Sequence } from "./scheduling/sequence.js";
import { Scoring } from "./scoring.js";
import { createTokenizer } from "./tokenizer/index.js";

export interface LoadedEngine extends Engine {
  readonly config: ModelConfig;
  readonly contextLength: number;
  readonly tokenizer: Tokenizer | undefined;
}

/**
 * Drafts the graph, reserves its memory, loads the weights and records the command lists.
 * @throws UnsupportedModelError, InvalidTensorError, UnsupportedOpError, InvalidPlanError, InvalidRequestError (limits),
 * InsufficientMemoryError, FileAccessError; nothing stays allocated then.
 */
export async function createEngine(options: EngineOptions): Promise<LoadedEngine> {
  const { source, ledger } = options;
  const config = readModelConfig(source);
  if (config.pooling !== undefined) {
    throw new InvalidRequestError(
      "source",
      config.architecture,
      `holds a ${config.architecture} model, which makes vectors of texts and generates nothing`,
      "make an embedder of it with createEmbedder",
    );
  }
  const limits = stepLimitsOf(options, config);
  const placed = placeModel(options, config, limits);
  const { graph, memory, backends } = placed;
  try {
    if (options.diagnostics?.poisonKvCaches) memory.fillKvCaches(0xff);
    await memory.load(source, options);
    const runner = new ModelRunner(graph, memory, backends, limits, options.diagnostics);
    return new ModelEngine(config, limits, graph.kvCacheBlocks, memory, runner, devicesOf(placed), ledger, options);
  } catch (error) {
    memory[Symbol.dispose]();
    throw error;
  }
}

class ModelEngine implements LoadedEngine {
  readonly tokenizer: Tokenizer | undefined;
  readonly #tokenizerError: unknown;
  readonly #addBos: boolean;
  readonly #texts: VocabularyTexts;
  readonly #kvCache: KvCache;
  readonly #scheduler: Scheduler;
  readonly #generations = new Map<Sequence, Generation>();
  /** In order of arrival. */
  readonly #scorings = new Set<Scoring>();
  #running: Promise<void> | undefined;
  /** Whom the step that runs is for. */
  #servedNow: readonly (Generation | Scoring)[] = [];
  #nextSequenceId = 0;
  #disposal: Promise<void> | undefined;

  constructor(
    readonly config: ModelConfig,
    private readonly limits: StepLimits,
    private readonly kvCacheBlocks: readonly KvCacheBlock[],
    private readonly modelMemory: ModelMemory,
    private readonly runner: ModelRunner,
    private readonly backends: readonly Backend[],
    private readonly ledger: MemoryLedger,
    options: EngineOptions,
  ) {
    const { blockOrder } = options.diagnostics ?? {};
    this.#kvCache = new KvCache(limits, {
      prefixCache: options.prefixCache ?? true,
      ...(blockOrder === undefined ? {} : { blockOrder }),
    });
    this.#scheduler = new Scheduler(limits, this.#kvCache);
    try {
      this.tokenizer =
        options.tokenizer ?? (options.source.vocabulary === undefined ? undefined : createTokenizer(options.source.vocabulary));
    } catch (error) {
      // Token ids can still be generated from; a text prompt throws this.
      if (!ThermoclineError.isInstance(error)) throw error;
      this.#tokenizerError = error;
    }
    this.#addBos = options.source.vocabulary?.addBos ?? false;
    this.#texts = new VocabularyTexts(this.tokenizer);
  }

  get contextLength(): number {
    return this.limits.contextLength;
  }

  async *generate(
    request: GenerateRequest,
    options: { readonly signal?: AbortSignal } = {},
  ): AsyncGenerator<GenerateEvent, void, undefined> {
    const { signal } = options;
    const generation = this.#startGeneration(request);
    const abort = () => {
      generation.end("abort");
      this.#leaveUnwantedStep();
    };
    if (signal?.aborted) abort();
    else signal?.addEventListener("abort", abort, { once: true });
    try {
      yield* generation.events();
    } finally {
      signal?.removeEventListener("abort", abort);
      abort();
    }
  }

  async *score(request: ScoreRequest, options: { readonly signal?: AbortSignal } = {}): AsyncGenerator<PositionLogits, void, undefined> {
    const { signal } = options;
    signal?.throwIfAborted();
    const scoring = this.#startScoring(request);
    const abort = () => {
      scoring.fail(signal?.reason);
      this.#leaveUnwantedStep();
    };
    signal?.addEventListener("abort", abort, { once: true });
    try {
      yield* scoring.positions(() => this.#wake());
    } finally {
      signal?.removeEventListener("abort", abort);
      scoring.end();
      this.#leaveUnwantedStep();
      this.#wake();
    }
  }

  memory(): readonly DeviceMemoryReport[] {
    return reportMemory(this.modelMemory, this.backends, this.ledger);
  }

  statistics(): EngineStatistics {
    const { overlappedMs, shorterLegMs } = this.runner.overlap;
    return {
      steps: this.runner.steps,
      awaits: this.runner.awaits,
      kvCaches: this.#kvCacheStatistics(),
      crossings: Object.fromEntries(this.backends.map((backend) => [backend.device.id, backend.statistics().crossings])),
      ...(shorterLegMs > 0 ? { overlap: { overlappedMs, shorterLegMs } } : {}),
    };
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#disposal ??= this.#dispose();
    return this.#disposal;
  }

  async #dispose(): Promise<void> {
    for (const generation of this.#generations.values()) generation.end("abort");
    for (const scoring of this.#scorings) scoring.fail(disposedError());
    this.runner.cancel();
    await this.#running;
    this.runner[Symbol.dispose]();
    this.modelMemory[Symbol.dispose]();
  }

  #startGeneration(request: GenerateRequest): Generation {
    const startedAtMs = performance.now();
    if (this.#disposal !== undefined) throw disposedError();
    const promptTokenIds = this.#promptTokenIds(request.prompt);
    const { contextLength } = this.limits;
    if (promptTokenIds.length >= contextLength) {
      throw new InvalidRequestError(
        "prompt",
        promptTokenIds.length,
        `has ${promptTokenIds.length} tokens, the context holds ${contextLength}`,
        "shorten the prompt or raise the context length",
      );
    }
    const forcedTokenIds =
      request.forcedTokenIds === undefined ? undefined : checkedTokenIds("forcedTokenIds", request.forcedTokenIds, this.config.vocabSize);
    const wanted = forcedTokenIds?.length ?? request.maxTokens ?? Number.POSITIVE_INFINITY;
    if (!(wanted >= 1)) throw new InvalidRequestError("maxTokens", request.maxTokens, `is ${wanted}`, "ask for at least 1 token");
    const sampling = checkedSampling(request.sampling);
    const { vocabSize } = this.config;
    const logitRules = createSamplingPipeline({
      sampling,
      logitBias: checkedLogitBias(request.logitBias, vocabSize),
      minTokens: checkedMinTokens(request.minTokens, request.maxTokens),
      texts: this.#texts,
      vocabSize,
      maxLogitEdits: this.limits.maxLogitEdits,
    });
    const sequence = new Sequence(this.#nextSequenceId++, {
      promptTokenIds,
      sampling,
      logitRules,
      maxTokens: Math.min(Math.floor(wanted), contextLength - promptTokenIds.length),
      withLogprobs: request.logprobs !== undefined,
      ...(forcedTokenIds === undefined ? {} : { forcedTokenIds }),
    });
    const generation = new Generation({
      sequence,
      tokenizer: this.tokenizer,
      stop: checkedStop(request.stop),
      ignoreEos: request.ignoreEos === true || forcedTokenIds !== undefined,
      numLogprobs: checkedLogprobs(request.logprobs, this.limits.logprobColumns - 1),
      startedAtMs,
    });
    this.#generations.set(sequence, generation);
    this.#scheduler.add(sequence);
    this.#wake();
    return generation;
  }

  #startScoring(request: ScoreRequest): Scoring {
    if (this.#disposal !== undefined) throw disposedError();
    checkScoring(request, this.limits);
    const { tokenIds, firstPosition = 0 } = request;
    const sequence = new Sequence(this.#nextSequenceId++, {
      promptTokenIds: checkedTokenIds("tokenIds", tokenIds, this.config.vocabSize),
      sampling: checkedSampling(),
      maxTokens: 0,
      withLogprobs: false,
    });
    const scoring = new Scoring(sequence, firstPosition, this.config.vocabSize);
    this.#scorings.add(scoring);
    this.#wake();
    return scoring;
  }

  /** A step is not worth finishing when nobody whom it serves wants it any more. */
  #leaveUnwantedStep(): void {
    if (this.#servedNow.length > 0 && this.#servedNow.every(({ ended }) => ended)) this.runner.cancel();
  }

  #wake(): void {
    this.#running ??= this.#run();
  }

  /** Steps while there is work; where texts are scored beside generations, the two take turns. */
  async #run(): Promise<void> {
    // Requests that start in the same turn share their first step.
    await Promise.resolve();
    for (let scoringFirst = false; ; scoringFirst = !scoringFirst) {
      this.#removeEnded();
      // Without a pause between finding nothing and ending, so that a call which comes then starts anew.
      const step = scoringFirst ? (this.#stepScoring() ?? this.#stepGenerations()) : (this.#stepGenerations() ?? this.#stepScoring());
      if (step === undefined) break;
      await step;
    }
    this.#running = undefined;
  }

  /** undefined where there is nothing to generate. */
  #stepGenerations(): Promise<void> | undefined {
    const batch = this.#scheduler.schedule();
    if (batch === undefined) return undefined;
    return this.#serve(
      batch.map(({ sequence }) => this.#generations.get(sequence)!),
      async () => {
        const result = await this.runner.run(batch);
        if (result.outcome === "completed") this.#commit(batch, result);
      },
    );
  }

  /** undefined where nothing is to be scored, logits of the last step have yet to be taken, or generations hold the blocks. */
  #stepScoring(): Promise<void> | undefined {
    const scorings = [...this.#scorings];
    const scoring = scorings.find(({ isComputed }) => !isComputed);
    if (scoring === undefined || scorings.some(({ holdsRows }) => holdsRows)) return undefined;
    const step = this.#scheduler.scheduleScoring(scoring.sequence, scoring.nextPosition);
    if (step === undefined) return undefined;
    return this.#serve([scoring], async () => {
      if ((await this.runner.runScoring(step)) !== "completed") return;
      this.#scheduler.commitScoring(step);
      scoring.accept(step, this.runner.scoredLogits);
    });
  }

  async #serve(served: readonly (Generation | Scoring)[], step: () => Promise<void>): Promise<void> {
    this.#servedNow = served;
    try {
      await step();
    } catch (error) {
      for (const one of served) one.fail(error);
    }
    this.#servedNow = [];
  }

  #commit(batch: Batch, { tokenIds: sampledTokenIds, logprobs, surpriseLimits }: StepResult): void {
    const sampled = batch.filter((entry) => entry.sampled);
    const tokenIds = sampled.map(
      ({ sequence }, row) => sequence.options.forcedTokenIds?.[sequence.numGeneratedTokens] ?? sampledTokenIds[row]!,
    );
    this.#scheduler.commit(batch, tokenIds);
    sampled.forEach(({ sequence }, row) => {
      sequence.surpriseLimit = surpriseLimits[row]!;
      const generation = this.#generations.get(sequence);
      if (generation?.ended === false) generation.accept(tokenIds[row]!, logprobs?.[row]);
    });
  }

  #removeEnded(): void {
    for (const [sequence, generation] of this.#generations) {
      if (!generation.ended) continue;
      this.#generations.delete(sequence);
      this.#scheduler.remove(sequence);
    }
    for (const scoring of this.#scorings) {
      if (!scoring.ended && !scoring.isComputed) continue;
      // Its logits, where some are left to be taken, lie in memory of their own.
      this.#scheduler.remove(scoring.sequence);
      if (scoring.ended) this.#scorings.delete(scoring);
    }
  }

  #kvCacheStatistics(): readonly KvCacheStatistics[] {
    return this.limits.kvGroups.map(({ numBlocks, ...group }, index) => {
      const caches = this.kvCacheBlocks.filter(({ layer }) => group.layers.includes(layer));
      const { numInUse: blocksInUse, numCached: blocksCached } = this.#kvCache.pools[index]!;
      const byteLength = caches.reduce((sum, { keyByteLength, valueByteLength }) => sum + keyByteLength + valueByteLength, 0);
      return { ...group, blockByteLength: byteLength / numBlocks, numBlocks, blocksInUse, blocksCached };
    });
  }

  #promptTokenIds(prompt: GenerateRequest["prompt"]): readonly number[] {
    const cure = "give a prompt of at least one token";
    if (typeof prompt !== "string") {
      if (!Array.isArray(prompt) && !ArrayBuffer.isView(prompt))
        throw new InvalidRequestError("prompt", typeof prompt, `is neither text nor token ids but ${typeof prompt}`, cure);
      if (prompt.length === 0) throw new InvalidRequestError("prompt", prompt, "is empty", cure);
      return checkedTokenIds("prompt", prompt, this.config.vocabSize);
    }
    if (prompt === "") throw new InvalidRequestError("prompt", prompt, "is empty", cure);
    if (this.tokenizer === undefined) {
      throw (
        this.#tokenizerError ??
        new InvalidRequestError("prompt", "text", "the file holds no vocabulary of a supported kind", "give the prompt as token ids")
      );
    }
    const tokenIds = this.tokenizer.encode(prompt, { addBos: this.#addBos });
    if (tokenIds.length === 0) throw new InvalidRequestError("prompt", prompt, "has no token in this vocabulary", cure);
    return checkedTokenIds("prompt", tokenIds, this.config.vocabSize);
  }
}

const disposedError = () => new InvalidRequestError("engine", "disposed", "was disposed", "open the model again");
