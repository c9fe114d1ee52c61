/** A model of embeddings on its devices: texts in, unit vectors out. */
import {
  type Backend,
  type DeviceMemoryReport,
  type Embedder,
  InvalidRequestError,
  type MemoryLedger,
  type ModelConfig,
  type Pooling,
  UnsupportedModelError,
  type Vocabulary,
} from "@thermocline/spec";
import { readModelConfig } from "./config/model-config.js";
import { type EmbedderOptions, embeddingLimitsOf } from "./embedder-options.js";
import { EmbeddingRunner } from "./embedding-runner.js";
import type { StepLimits } from "./graph/step-limits.js";
import type { ModelMemory } from "./model-memory.js";
import { devicesOf, placeModel, reportMemory } from "./placed-model.js";
import { checkedTokenIds } from "./request-checks.js";
import { createTokenizer, type TextTokenizer } from "./tokenizer/index.js";

type EmbeddingConfig = ModelConfig & { readonly pooling: Pooling };
type EmbedderInput = string | readonly number[] | Uint32Array;

/**
 * Drafts the graph, reserves its memory, loads the weights and records the command lists.
 * @throws UnsupportedModelError, also for a model that generates text; UnsupportedTokenizerError, InvalidVocabularyError,
 * InvalidTensorError, UnsupportedOpError, InvalidPlanError, InvalidRequestError (limits), InsufficientMemoryError, FileAccessError; nothing
 * stays allocated then.
 */
export async function createEmbedder(options: EmbedderOptions): Promise<Embedder> {
  const { source, ledger } = options;
  const config = readModelConfig(source);
  if (!hasPooling(config))
    throw new UnsupportedModelError(config.architecture, "general.architecture", "generates text and makes no vectors of texts", ["bert"]);
  const limits = embeddingLimitsOf(options, config);
  const tokenizer = options.tokenizer ?? (source.vocabulary && createTokenizer(source.vocabulary));
  const placed = placeModel(options, config, limits);
  const { graph, memory, backends } = placed;
  try {
    await memory.load(source, options);
    const runner = new EmbeddingRunner(graph, memory, backends, limits, config.pooling, options.diagnostics);
    return new ModelEmbedder(config, limits, memory, runner, devicesOf(placed), ledger, tokenizer, source.vocabulary);
  } catch (error) {
    memory[Symbol.dispose]();
    throw error;
  }
}

const hasPooling = (config: ModelConfig): config is EmbeddingConfig => config.pooling !== undefined;

class ModelEmbedder implements Embedder {
  /** Ends with the last call that has begun; steps share their inputs, so calls run one after the other. */
  #lastCall: Promise<unknown> = Promise.resolve();
  #disposal: Promise<void> | undefined;

  constructor(
    private readonly config: EmbeddingConfig,
    private readonly limits: StepLimits,
    private readonly modelMemory: ModelMemory,
    private readonly runner: EmbeddingRunner,
    private readonly backends: readonly Backend[],
    private readonly ledger: MemoryLedger,
    private readonly tokenizer: TextTokenizer | undefined,
    private readonly vocabulary: Vocabulary | undefined,
  ) {}

  get dimension(): number {
    return this.config.hiddenSize;
  }

  async embed(inputs: readonly EmbedderInput[], { signal }: { readonly signal?: AbortSignal } = {}): Promise<readonly Float32Array[]> {
    this.#checkUsable(signal);
    const texts = inputs.map((input, index) => this.#tokenIdsOf(input, `inputs[${index}]`));
    const call = this.#lastCall.then(() => this.#embedTexts(texts, signal));
    this.#lastCall = call.catch(() => {});
    return await call;
  }

  memory(): readonly DeviceMemoryReport[] {
    return reportMemory(this.modelMemory, this.backends, this.ledger);
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#disposal ??= this.#dispose();
    return this.#disposal;
  }

  async #dispose(): Promise<void> {
    this.runner.cancel();
    await this.#lastCall;
    this.runner[Symbol.dispose]();
    this.modelMemory[Symbol.dispose]();
  }

  async #embedTexts(texts: readonly (readonly number[])[], signal: AbortSignal | undefined): Promise<readonly Float32Array[]> {
    const vectors: Float32Array[] = [];
    const cancel = () => this.runner.cancel();
    signal?.addEventListener("abort", cancel, { once: true });
    try {
      while (vectors.length < texts.length) {
        this.#checkUsable(signal);
        const batch = this.#nextBatch(texts, vectors.length);
        const outcome = await this.runner.run(batch);
        this.#checkUsable(signal);
        // Nobody asked for it, so a device left the step by itself: the batch runs again.
        if (outcome !== "completed") continue;
        batch.forEach((_, index) => void vectors.push(this.#unitVector(index)));
      }
    } finally {
      signal?.removeEventListener("abort", cancel);
    }
    return vectors;
  }

  /** As many of the texts from `first` on as a step takes; at least one. */
  #nextBatch(texts: readonly (readonly number[])[], first: number): readonly (readonly number[])[] {
    let last = first;
    for (let numTokens = 0; last < texts.length && last - first < this.limits.maxSequences; last++) {
      numTokens += texts[last]!.length;
      if (numTokens > this.limits.maxBatchTokens) break;
    }
    return texts.slice(first, last);
  }

  /** Of length 1, but for one of zeros. */
  #unitVector(index: number): Float32Array {
    const { dimension } = this;
    const vector = this.runner.vectors.slice(index * dimension, (index + 1) * dimension);
    let sumOfSquares = 0;
    for (const element of vector) sumOfSquares += element * element;
    const scale = sumOfSquares === 0 ? 0 : 1 / Math.sqrt(sumOfSquares);
    return vector.map((element) => element * scale);
  }

  #tokenIdsOf(input: EmbedderInput, parameter: string): readonly number[] {
    const refuse = (problem: string, cure: string) => {
      throw new InvalidRequestError(parameter, typeof input === "string" ? input : input.length, problem, cure);
    };
    if (typeof input !== "string" && !Array.isArray(input) && !ArrayBuffer.isView(input))
      throw new InvalidRequestError(parameter, typeof input, `is neither text nor token ids but ${typeof input}`, "give texts");
    if (input.length === 0) refuse("is empty", "give texts of at least one token");
    const tokenIds = checkedTokenIds(parameter, typeof input === "string" ? this.#encode(input) : input, this.config.vocabSize);
    if (tokenIds.length === 0) refuse("has no token in this vocabulary", "give texts of at least one token");
    const { contextLength } = this.limits;
    if (tokenIds.length > contextLength)
      refuse(`has ${tokenIds.length} tokens, the context holds ${contextLength}`, "cut the text into shorter ones");
    return tokenIds;
  }

  #encode(text: string): readonly number[] {
    if (this.tokenizer === undefined)
      throw new InvalidRequestError("inputs", "text", "the file holds no vocabulary of a supported kind", "give the inputs as token ids");
    const { addBos = false, addEos = false, addSep = false } = this.vocabulary ?? {};
    return this.tokenizer.encode(text, { addBos, addEos, addSep });
  }

  #checkUsable(signal: AbortSignal | undefined): void {
    signal?.throwIfAborted();
    if (this.#disposal !== undefined) throw new InvalidRequestError("embedder", "disposed", "was disposed", "open the model again");
  }
}
