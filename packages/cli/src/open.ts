/** The wiring: file, plan, devices, ledger and engine become one model that owns them all. */
import { createEngine, createTokenizer, type LoadedEngine, type TextTokenizer } from "@thermocline/core";
import { type DType, type Engine, type ModelConfig, type ModelSource, type Placement, ThermoclineError } from "@thermocline/spec";
import { checkGeneratesText } from "./generates-text.js";
import { type ModelLocation, type Owned, type ResourceOptions, withResources } from "./opened-resources.js";

export type { ModelLocation } from "./opened-resources.js";

export interface OpenOptions extends ResourceOptions {
  /** Tokens of one sequence, prompt and answer together; "max": the most that fit. Default: the plan's, else the model's, at most 4096. */
  readonly contextLength?: number | "max";
  /** Sequences decoded together; more wait. Default 1. */
  readonly maxSequences?: number;
  /** Tokens in one step: the prefill chunk. Default 256. */
  readonly maxBatchTokens?: number;
  /** Tokens that the KV cache holds over all sequences, in layers that see all of the context; default: `contextLength` for each of
   *  `maxSequences`. */
  readonly kvCacheTokens?: number;
  /**
   * In place of `kvCacheTokens`: bytes ("4GiB"), tokens ("tokens:32768"), or a fraction with its meaning: "total:0.3" of the budget, "free:0.5"
   * of what is free, or as "lmdeploy:0.8", "lightllm:0.9", "vllm:0.9" and "sglang:0.88" mean it. Without `contextLength` the context is no
   * longer than that.
   */
  readonly kvBudget?: string;
  /** Of cached keys and values; default: each device's own. */
  readonly keyCacheDType?: DType;
  readonly valueCacheDType?: DType;
  /** Positions whose logits `score` gets from one step; absent: nothing can be scored, and no memory is taken for it. */
  readonly maxScoredTokens?: number;
  /** Keep the keys and values of finished sequences for requests that begin alike. Default true. */
  readonly prefixCache?: boolean;
  /** Measure when the parts of split layers run: `statistics().overlap`. */
  readonly trace?: boolean;
}

/** Disposing it ends what it generates and gives back everything that was opened. */
export interface OpenedModel extends Engine {
  /** The model's name in its file. */
  readonly name: string;
  /** What a plan for this model names: `source.identity`. */
  readonly identity: string;
  readonly config: ModelConfig;
  readonly contextLength: number;
  /** Undefined where the file's vocabulary is of a kind that is not supported; token ids can be generated from all the same. */
  readonly tokenizer: TextTokenizer | undefined;
  /** Where every unit lies. */
  readonly placement: Placement;
  /** Owned by the model. */
  readonly source: ModelSource;
}

/**
 * Opens a model and loads its weights.
 *
 * ```ts
 * const model = await open("model.gguf");
 * for await (const event of model.generate({ prompt: "Once upon a time" })) {
 *   if (event.type === "text-delta") process.stdout.write(event.text);
 * }
 * await model[Symbol.asyncDispose]();
 * ```
 *
 * @throws FileAccessError, GgufFormatError, UnsupportedModelError, InvalidTensorError (the file); InvalidPlanError;
 * BackendUnavailableError, UnsupportedOpError (the devices); InvalidRequestError (the options); InsufficientMemoryError; the signal's
 * reason. Nothing stays open or reserved then.
 */
export function open(location: ModelLocation, options: OpenOptions = {}): Promise<OpenedModel> {
  const { contextLength, maxSequences, maxBatchTokens, kvCacheTokens, kvBudget } = options;
  const { keyCacheDType, valueCacheDType, maxScoredTokens } = options;
  const asked = {
    ...{ contextLength, maxSequences, maxBatchTokens, kvCacheTokens, kvBudget },
    ...{ keyCacheDType, valueCacheDType, maxScoredTokens },
  };
  return withResources(location, options, asked, async ({ source, config, backends, ledger, placement, settings, name, owner }, own) => {
    checkGeneratesText(config);
    const { prefixCache, signal, onProgress, trace } = options;
    const tokenizer = tokenizerOf(source);
    const engine = own.add(
      await createEngine({
        ...settings,
        source,
        backends,
        placement,
        ledger,
        owner,
        prefixCache,
        ...(tokenizer && { tokenizer }),
        signal,
        onProgress,
        diagnostics: { trace },
      }),
    );
    return new Model(engine, source, tokenizer, placement, name, own);
  });
}

class Model implements OpenedModel {
  constructor(
    private readonly engine: LoadedEngine,
    readonly source: ModelSource,
    readonly tokenizer: TextTokenizer | undefined,
    readonly placement: Placement,
    readonly name: string,
    private readonly owned: Owned,
  ) {}

  get identity(): string {
    return this.source.identity;
  }
  get config(): ModelConfig {
    return this.engine.config;
  }
  get contextLength(): number {
    return this.engine.contextLength;
  }

  generate: Engine["generate"] = (request, options) => this.engine.generate(request, options);
  score: Engine["score"] = (request, options) => this.engine.score(request, options);
  memory: Engine["memory"] = () => this.engine.memory();
  statistics: Engine["statistics"] = () => this.engine.statistics();

  [Symbol.asyncDispose](): Promise<void> {
    return this.owned.disposeAll();
  }
}

/** Undefined where the file's vocabulary is of an unsupported kind: the engine then tells why, when it is given text. */
function tokenizerOf({ vocabulary }: ModelSource): TextTokenizer | undefined {
  try {
    return vocabulary && createTokenizer(vocabulary);
  } catch (error) {
    if (ThermoclineError.isInstance(error)) return undefined;
    throw error;
  }
}
