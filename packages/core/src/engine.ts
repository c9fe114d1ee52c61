/** A model on its devices, serving any number of requests at once. */
import {
  type Backend,
  type BackendTraits,
  type DeviceId,
  type DeviceMemoryReport,
  type Engine,
  type EngineStatistics,
  type GenerateEvent,
  type GenerateRequest,
  InvalidRequestError,
  type MemoryClass,
  type MemoryLedger,
  type ModelConfig,
  type PositionLogits,
  ThermoclineError,
  type Tokenizer,
} from "@thermocline/spec";
import { readModelConfig } from "./config/model-config.js";
import { type EngineOptions, stepLimitsOf } from "./engine-options.js";
import { Generation } from "./generation.js";
import { draftModelGraph } from "./graph/model-graph.js";
import type { StepLimits } from "./graph/step-limits.js";
import { BlockAllocator } from "./kv-cache/block-allocator.js";
import { ModelMemory } from "./model-memory.js";
import { ModelRunner } from "./model-runner.js";
import { listOffloadUnits, placeOnOneDevice } from "./offload-units.js";
import { checkPlacement } from "./placement.js";
import { checkedLogprobs, checkedSampling, checkedTokenIds } from "./request-checks.js";
import { type Batch, Scheduler } from "./scheduling/scheduler.js";
import { Sequence } from "./scheduling/sequence.js";
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
  const limits = stepLimitsOf(options, config);
  const backends = new Map(options.backends.map((backend) => [backend.device.id, backend]));
  const [defaultBackend] = options.backends;
  if (defaultBackend === undefined) throw new InvalidRequestError("backends", [], "is empty", "give at least one backend");
  const units = listOffloadUnits(source, config);
  const placement = options.placement ?? placeOnOneDevice(units, defaultBackend.device.id);
  checkPlacement(placement, units, [...backends.keys()]);
  const traits = new Map<DeviceId, BackendTraits>([...backends].map(([id, backend]) => [id, backend.traits]));
  const graph = draftModelGraph(source, config, placement, traits, limits);
  const owner = options.owner ?? String(source.metadata.get("general.name") ?? config.architecture);

  const memory = new ModelMemory(graph, backends, ledger, owner);
  try {
    if (options.diagnostics?.poisonKvCaches) memory.fillKvCaches(0xff);
    await memory.load(source, options);
    const runner = new ModelRunner(graph, memory, backends, limits, options.diagnostics);
    const used = [...graph.devices.keys()].map((device) => backends.get(device)!);
    return new ModelEngine(config, limits, memory, runner, used, ledger, options);
  } catch (error) {
    memory[Symbol.dispose]();
    throw error;
  }
}

class ModelEngine implements LoadedEngine {
  readonly tokenizer: Tokenizer | undefined;
  readonly #tokenizerError: unknown;
  readonly #scheduler: Scheduler;
  readonly #generations = new Map<Sequence, Generation>();
  #running: Promise<void> | undefined;
  #batch: Batch = [];
  #nextSequenceId = 0;
  #disposal: Promise<void> | undefined;

  constructor(
    readonly config: ModelConfig,
    private readonly limits: StepLimits,
    private readonly modelMemory: ModelMemory,
    private readonly runner: ModelRunner,
    private readonly backends: readonly Backend[],
    private readonly ledger: MemoryLedger,
    options: EngineOptions,
  ) {
    const order = options.diagnostics?.blockOrder?.(limits.numBlocks);
    this.#scheduler = new Scheduler(
      limits,
      order === undefined ? new BlockAllocator(limits.numBlocks) : new BlockAllocator(limits.numBlocks, order),
    );
    try {
      this.tokenizer =
        options.tokenizer ?? (options.source.vocabulary === undefined ? undefined : createTokenizer(options.source.vocabulary));
    } catch (error) {
      // Token ids can still be generated from; a text prompt throws this.
      if (!ThermoclineError.isInstance(error)) throw error;
      this.#tokenizerError = error;
    }
    this.#addBos = options.source.vocabulary?.addBos ?? false;
  }

  readonly #addBos: boolean;

  get contextLength(): number {
    return this.limits.contextLength;
  }

  async *generate(
    request: GenerateRequest,
    options: { readonly signal?: AbortSignal } = {},
  ): AsyncGenerator<GenerateEvent, void, undefined> {
    const { signal } = options;
    const generation = this.#start(request);
    const abort = () => this.#abort(generation);
    if (signal?.aborted) abort();
    else signal?.addEventListener("abort", abort, { once: true });
    try {
      yield* generation.events();
    } finally {
      signal?.removeEventListener("abort", abort);
      this.#abort(generation);
    }
  }

  score(): AsyncIterable<PositionLogits> {
    throw new InvalidRequestError("maxScoredTokens", undefined, "was not given", "make the engine with maxScoredTokens");
  }

  memory(): readonly DeviceMemoryReport[] {
    return this.backends.map(({ device }) => {
      const byteLengthByClass: Partial<Record<MemoryClass, number>> = {};
      for (const reservation of this.modelMemory.reservations) {
        if (reservation.device !== device.id) continue;
        byteLengthByClass[reservation.class] = (byteLengthByClass[reservation.class] ?? 0) + reservation.byteLength;
      }
      return { device: device.id, name: device.name, budgetBytes: this.ledger.budget(device.id), byteLengthByClass };
    });
  }

  statistics(): EngineStatistics {
    const { overlappedMs, shorterLegMs } = this.runner.overlap;
    return {
      steps: this.runner.steps,
      awaits: this.runner.awaits,
      kvCaches: [],
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
    this.runner.cancel();
    await this.#running;
    this.runner[Symbol.dispose]();
    this.modelMemory[Symbol.dispose]();
  }

  #start(request: GenerateRequest): Generation {
    const startedAtMs = performance.now();
    if (this.#disposal !== undefined) throw new InvalidRequestError("engine", "disposed", "was disposed", "open the model again");
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
    const sequence = new Sequence(this.#nextSequenceId++, {
      promptTokenIds,
      sampling: checkedSampling(request.sampling),
      maxTokens: Math.min(Math.floor(wanted), contextLength - promptTokenIds.length),
      withLogprobs: request.logprobs !== undefined,
      ...(forcedTokenIds === undefined ? {} : { forcedTokenIds }),
    });
    const generation = new Generation({
      sequence,
      tokenizer: this.tokenizer,
      stop: (request.stop ?? []).filter((stop) => stop !== ""),
      ignoreEos: request.ignoreEos === true || forcedTokenIds !== undefined,
      numLogprobs: checkedLogprobs(request.logprobs, this.limits.logprobColumns - 1),
      startedAtMs,
    });
    this.#generations.set(sequence, generation);
    this.#scheduler.add(sequence);
    this.#running ??= this.#run();
    return generation;
  }

  #abort(generation: Generation): void {
    generation.end("abort");
    // A step none of whose sequences is wanted any more is not worth finishing.
    if (this.#batch.length > 0 && this.#batch.every(({ sequence }) => this.#generations.get(sequence)?.ended !== false))
      this.runner.cancel();
  }

  /** Steps while there is work. */
  async #run(): Promise<void> {
    // Requests that start in the same turn share their first step.
    await Promise.resolve();
    for (;;) {
      this.#removeEnded();
      const batch = this.#scheduler.schedule();
      if (batch === undefined) break;
      this.#batch = batch;
      try {
        const { outcome, tokenIds, logprobs } = await this.runner.run(batch);
        if (outcome === "completed") this.#commit(batch, tokenIds, logprobs);
      } catch (error) {
        for (const { sequence } of batch) this.#generations.get(sequence)?.fail(error);
      }
      this.#batch = [];
    }
    this.#running = undefined;
  }

  #commit(batch: Batch, sampledTokenIds: readonly number[], logprobs: Awaited<ReturnType<ModelRunner["run"]>>["logprobs"]): void {
    const sampled = batch.filter((entry) => entry.sampled);
    const tokenIds = sampled.map(
      ({ sequence }, row) => sequence.options.forcedTokenIds?.[sequence.numGeneratedTokens] ?? sampledTokenIds[row]!,
    );
    this.#scheduler.commit(batch, tokenIds);
    sampled.forEach(({ sequence }, row) => {
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
