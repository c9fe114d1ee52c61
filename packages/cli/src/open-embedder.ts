/** The wiring of a model of embeddings: file, plan, devices and ledger become one embedder that owns them all. */
import { createEmbedder } from "@thermocline/core";
import type { DeviceMemoryReport, Embedder, ModelSource } from "@thermocline/spec";
import { type ModelLocation, type Owned, type ResourceOptions, withResources } from "./opened-resources.js";

export interface OpenEmbedderOptions extends ResourceOptions {
  /** Tokens of one text, the vocabulary's special ones included; default: the model's. */
  readonly contextLength?: number;
  /** Texts in one step. Default 32. */
  readonly maxSequences?: number;
  /** Tokens in one step. A text is computed whole, so at least `contextLength`; default: the larger of that and 512. */
  readonly maxBatchTokens?: number;
}

/** Disposing it gives back everything that was opened. */
export interface OpenedEmbedder extends Embedder {
  /** The model's name in its file. */
  readonly name: string;
  /** What a plan for this model names: `source.identity`. */
  readonly identity: string;
  /** Owned by the embedder. */
  readonly source: ModelSource;
}

/**
 * Opens a model of embeddings and loads its weights.
 *
 * ```ts
 * const embedder = await openEmbedder("model.gguf");
 * const [first, second] = await embedder.embed(["a lake in summer", "a sea in winter"]);
 * await embedder[Symbol.asyncDispose]();
 * ```
 *
 * @throws as `open` does; UnsupportedModelError also for a model that generates text, UnsupportedTokenizerError for a vocabulary of another
 * kind. Nothing stays open or reserved then.
 */
export function openEmbedder(location: ModelLocation, options: OpenEmbedderOptions = {}): Promise<OpenedEmbedder> {
  const { contextLength, maxSequences, maxBatchTokens, signal, onProgress } = options;
  const asked = { contextLength, maxSequences, maxBatchTokens };
  return withResources(location, options, asked, async ({ source, backends, ledger, placement, settings, name, owner }, own) => {
    const embedder = own.add(
      await createEmbedder({
        source,
        backends,
        placement,
        ledger,
        owner,
        ...settings,
        signal,
        onProgress,
      }),
    );
    return new ModelEmbedder(embedder, source, name, own);
  });
}

class ModelEmbedder implements OpenedEmbedder {
  constructor(
    private readonly embedder: Embedder,
    readonly source: ModelSource,
    readonly name: string,
    private readonly owned: Owned,
  ) {}

  get dimension(): number {
    return this.embedder.dimension;
  }
  get identity(): string {
    return this.source.identity;
  }

  embed: Embedder["embed"] = (inputs, options) => this.embedder.embed(inputs, options);
  memory = (): readonly DeviceMemoryReport[] => this.embedder.memory();

  [Symbol.asyncDispose](): Promise<void> {
    return this.owned.disposeAll();
  }
}
