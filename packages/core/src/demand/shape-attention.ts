/** What each layer's attention keeps. The rows of its projections say it best; keys say how they fall into heads. */
import { InvalidTensorError, UnsupportedModelError } from "@thermocline/spec";
import type { ArchitectureMetadata } from "../config/architecture-metadata.js";
import type { AttentionShape } from "./shape.js";
import { type LayerTensors, rowsOf } from "./shape-tensors.js";

export interface AttentionReading {
  readonly hiddenSize: number;
  readonly slidingWindows: readonly (number | undefined)[];
  /** Layers with a recurrence. */
  readonly isRecurrent: readonly boolean[];
  /** Of all layers that the file counts, those that nothing here runs included. */
  readonly numLayers: number;
  /** Texts are computed whole, so that keys and values are activations. */
  readonly keepsNothing: boolean;
}

/** @throws InvalidTensorError where keys are missing, malformed, or contradict the tensors. */
export function readAttention(
  metadata: ArchitectureMetadata,
  layers: readonly LayerTensors[],
  { hiddenSize, slidingWindows, isRecurrent, numLayers, keepsNothing }: AttentionReading,
): readonly AttentionShape[] {
  const heads = new HeadsReader(metadata, hiddenSize, numLayers);
  const numShared = metadata.number("attention.shared_kv_layers", 0);
  if (!Number.isInteger(numShared) || numShared < 0 || numShared >= numLayers)
    throw new InvalidTensorError(
      `metadata ${metadata.architecture}.attention.shared_kv_layers`,
      `a whole number below the ${numLayers} layers`,
      `${numShared}`,
    );
  const firstShared = layers.length - numShared;

  const shapes: AttentionShape[] = [];
  layers.forEach((tensors, layer) => {
    const slidingWindow = slidingWindows[layer];
    const keepsKeys = hasKeys(tensors, isRecurrent[layer]!);
    // A delta rule has queries, keys and values too; the heads of its layer keep none of them.
    const attends = (keepsKeys || hasQueries(metadata, tensors)) && !(isRecurrent[layer] && heads.numKvHeads(layer) === 0);
    const isShared = attends && !isRecurrent[layer] && (layer >= firstShared || !keepsKeys);
    if (keepsNothing || !attends) {
      shapes.push({ kind: "none" });
    } else if (isShared) {
      shapes.push(sharedShape(metadata, shapes, { layer, slidingWindow, slidingWindows, numHeads: heads.numHeads(layer) }));
    } else if (tensors.has("attn_kv_a_mqa.weight")) {
      shapes.push(latentShape(metadata, layer, tensors, heads.numHeads(layer)));
    } else {
      shapes.push({ ...heads.groupedQuery(layer, tensors, slidingWindow), ...(slidingWindow === undefined ? {} : { slidingWindow }) });
    }
  });
  return shapes;
}

/** In a recurrent layer a fused projection feeds the recurrence, unless an output of attention's own is there too. */
function hasKeys(tensors: LayerTensors, isRecurrent: boolean): boolean {
  if (tensors.has("attn_k.weight") || tensors.has("attn_kv_a_mqa.weight")) return true;
  return tensors.has("attn_qkv.weight") && (!isRecurrent || tensors.has("attn_output.weight"));
}

/** @throws UnsupportedModelError for a cache of a kind that is not known here: it must not count as none. */
function hasQueries(metadata: ArchitectureMetadata, tensors: LayerTensors): boolean {
  if (tensors.has("attn_q.weight") || tensors.has("attn_q_b.weight")) {
    const unknown = [...tensors.keys()].find((name) => /^attn_kv/.test(name));
    if (unknown === undefined) return true;
    throw new UnsupportedModelError(
      metadata.architecture,
      tensors.get(unknown)!.name,
      "keeps keys and values in a form that is not known here",
    );
  }
  return false;
}

interface SharedLayer {
  readonly layer: number;
  readonly slidingWindow: number | undefined;
  readonly slidingWindows: readonly (number | undefined)[];
  readonly numHeads: number;
}

/** The last layer before it that keeps keys and sees as far. */
function sharedShape(
  metadata: ArchitectureMetadata,
  shapes: readonly AttentionShape[],
  { layer, slidingWindow, slidingWindows, numHeads }: SharedLayer,
): AttentionShape {
  const sourceLayer = shapes.findLastIndex(
    (shape, earlier) => (shape.kind === "grouped-query" || shape.kind === "latent") && slidingWindows[earlier] === slidingWindow,
  );
  if (sourceLayer >= 0) return { kind: "shared", numHeads, sourceLayer };
  throw new InvalidTensorError(
    `blk.${layer}.attn_k.weight`,
    `keys, as ${metadata.architecture} has no earlier layer whose keys this one could read`,
    "none",
  );
}

function latentShape(metadata: ArchitectureMetadata, layer: number, tensors: LayerTensors, numHeads: number): AttentionShape {
  const projection = tensors.get("attn_kv_a_mqa.weight")!;
  const rows = rowsOf(tensors, "attn_kv_a_mqa")!;
  const norm = tensors.get("attn_kv_a_norm.weight");
  const latentLength = norm?.shape[0] ?? metadata.positive("attention.kv_lora_rank");
  const named = metadata.number("attention.kv_lora_rank", latentLength);
  if (named !== latentLength)
    throw new InvalidTensorError(
      `metadata ${metadata.architecture}.attention.kv_lora_rank`,
      `${latentLength}, as ${norm?.name} has it`,
      `${named}`,
    );
  // Keys name other rotary lengths in some files; the rows of the projection settle it.
  const ropeLength = rows - latentLength;
  if (ropeLength < 0)
    throw new InvalidTensorError(projection.name, `the ${latentLength} rows of the latent, and rotary ones`, `${rows} rows`);
  if (!(numHeads > 0)) throw metadata.unsupported("attention.head_count", `layer ${layer} has latent keys and no heads`);
  return { kind: "latent", numHeads, latentLength, ropeLength, indexLength: rowsOf(tensors, "indexer.attn_k") ?? 0 };
}

/** Heads by layer, from the keys, held against the rows of the projections. */
class HeadsReader {
  readonly #heads: readonly number[];
  readonly #kvHeads: readonly number[];

  constructor(
    private readonly metadata: ArchitectureMetadata,
    private readonly hiddenSize: number,
    private readonly numLayers: number,
  ) {
    this.#heads = this.#counts("attention.head_count", 0);
    this.#kvHeads = metadata.source.metadata.has(`${metadata.architecture}.attention.head_count_kv`)
      ? this.#counts("attention.head_count_kv", 0)
      : this.#heads;
  }

  numHeads(layer: number): number {
    return this.#heads[layer]!;
  }

  numKvHeads(layer: number): number {
    return this.#kvHeads[layer]!;
  }

  groupedQuery(layer: number, tensors: LayerTensors, slidingWindow: number | undefined): AttentionShape & { kind: "grouped-query" } {
    const numHeads = this.numHeads(layer);
    const numKvHeads = this.numKvHeads(layer);
    if (!(numHeads > 0 && numKvHeads > 0))
      throw this.metadata.unsupported(
        "attention.head_count_kv",
        `layer ${layer} has keys, but ${numHeads} heads over ${numKvHeads} KV heads`,
      );
    const keyRows = rowsOf(tensors, "attn_k");
    const valueRows = rowsOf(tensors, "attn_v");
    const fusedRows = keyRows === undefined ? rowsOf(tensors, "attn_qkv")! : undefined;
    const fallback = (rows: number | undefined) =>
      rows !== undefined
        ? rows / numKvHeads
        : fusedRows !== undefined
          ? fusedRows / (numHeads + 2 * numKvHeads)
          : this.hiddenSize / numHeads;
    const keyLength = this.#length("key_length", layer, slidingWindow, fallback(keyRows));
    // Where there are no values of their own, keys are the values too, kept apart because they are rotated.
    const valueLength = this.#length("value_length", layer, slidingWindow, valueRows === undefined ? keyLength : fallback(valueRows));
    this.#checkRows(`blk.${layer}.attn_k.weight`, keyRows, numKvHeads * keyLength);
    this.#checkRows(`blk.${layer}.attn_v.weight`, valueRows, numKvHeads * valueLength);
    this.#checkRows(`blk.${layer}.attn_qkv.weight`, fusedRows, (numHeads + numKvHeads) * keyLength + numKvHeads * valueLength);
    return { kind: "grouped-query", numHeads, numKvHeads, keyLength, valueLength };
  }

  /** Elements of a head. Layers with a window may have a length of their own. */
  #length(key: "key_length" | "value_length", layer: number, slidingWindow: number | undefined, fallback: number): number {
    const names = [...(slidingWindow === undefined ? [] : [`attention.${key}_swa`]), `attention.${key}`];
    const name =
      names.find((candidate) => this.metadata.source.metadata.has(`${this.metadata.architecture}.${candidate}`)) ?? names.at(-1)!;
    const value = this.metadata.perLayer(name, this.numLayers, fallback)[layer]!;
    return this.metadata.checkPositive(name, value);
  }

  #checkRows(tensor: string, rows: number | undefined, expected: number): void {
    if (rows === undefined || rows === expected) return;
    throw new InvalidTensorError(tensor, `${expected} rows, as the keys ${this.metadata.architecture}.attention.* say`, `${rows} rows`);
  }

  #counts(key: string, fallback: number): readonly number[] {
    const counts = this.metadata.perLayer(key, this.numLayers, fallback);
    const wrong = counts.find((count) => !Number.isSafeInteger(count) || count < 0);
    if (wrong === undefined) return counts;
    throw new UnsupportedModelError(this.metadata.architecture, `${this.metadata.architecture}.${key}`, `${wrong} heads cannot be`);
  }
}
