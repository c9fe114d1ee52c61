/** Headers of models that are too large to lie anywhere: files with a header and, behind it, a hole of the size of their weights. */
import { mkdtemp, open, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { type GgufValue, openGguf, writeGguf } from "@thermocline/loader-gguf";
import { byteLengthOf, type DType, type ModelSource } from "@thermocline/spec";

export type Keys = Readonly<Record<string, GgufValue | undefined>>;
export type Shapes = Readonly<Record<string, readonly number[]>>;

export interface HeaderOptions {
  readonly architecture: string;
  /** Under `<architecture>.`; plain numbers are u32. */
  readonly keys: Readonly<Record<string, GgufValue | number | undefined>>;
  /** By name. */
  readonly tensors: Shapes;
  /** Of the matrices; default q8_0, where rows are whole blocks. */
  readonly dtype?: DType;
}

/** Data alignment of a file that names none. */
const alignment = 32;

/** The model of a header, as a file tells it; the file is gone when the source is. */
export async function openHeader({ architecture, keys, tensors, dtype = "q8_0" }: HeaderOptions): Promise<ModelSource> {
  const metadata: [string, GgufValue][] = [["general.architecture", architecture]];
  for (const [key, value] of Object.entries(keys)) {
    if (value !== undefined) metadata.push([`${architecture}.${key}`, typeof value === "number" ? { type: "u32", value } : value]);
  }
  const described = Object.entries(tensors).map(([name, shape]) => ({
    name,
    shape,
    dtype: shape.length > 1 && shape.at(-1)! % 256 === 0 ? dtype : ("f32" as const),
    data: neverRead,
  }));
  const dataByteLength = described.reduce((sum, { dtype: own, shape }) => {
    const byteLength = byteLengthOf(
      own,
      shape.reduce((product, size) => product * size, 1),
    );
    return sum + Math.ceil(byteLength / alignment) * alignment;
  }, 0);

  const folder = await mkdtemp(path.join(tmpdir(), "thermocline-header-"));
  const file = path.join(folder, "model.gguf");
  const header = await headerOf(metadata, described);
  await using handle = await open(file, "w");
  await handle.write(header);
  await handle.truncate(header.length + dataByteLength);
  const source = await openGguf(file);
  await rm(folder, { recursive: true });
  return source;
}

class HeaderWritten extends Error {}

/** The first piece that the writer gives. */
async function headerOf(metadata: [string, GgufValue][], tensors: Parameters<typeof writeGguf>[1]["tensors"]): Promise<Uint8Array> {
  let header: Uint8Array | undefined;
  try {
    await writeGguf(
      (chunk) => {
        header = Uint8Array.from(chunk);
        throw new HeaderWritten();
      },
      { metadata, tensors },
    );
  } catch (error) {
    if (!(error instanceof HeaderWritten)) throw error;
  }
  return header!;
}

// biome-ignore lint/correctness/useYield: the header comes first, and nothing after it is asked for.
async function* neverRead(): AsyncGenerator<Uint8Array> {
  throw new Error("a header's tensors have no data");
}

export const i32s = (values: readonly number[]): GgufValue => Int32Array.from(values);

/** `tensorsOf(layer)` for each layer, under the names that files have, with an embedding, an output norm and, unless tied, a head. */
export function layered(
  numLayers: number,
  { hiddenSize, vocabSize = 512, isTied = true }: { readonly hiddenSize: number; readonly vocabSize?: number; readonly isTied?: boolean },
  tensorsOf: (layer: number) => Shapes,
): Shapes {
  const tensors: Record<string, readonly number[]> = { "token_embd.weight": [vocabSize, hiddenSize], "output_norm.weight": [hiddenSize] };
  if (!isTied) tensors["output.weight"] = [vocabSize, hiddenSize];
  for (let layer = 0; layer < numLayers; layer++) {
    for (const [name, shape] of Object.entries(tensorsOf(layer))) tensors[`blk.${layer}.${name}.weight`] = shape;
  }
  return tensors;
}

export interface Heads {
  readonly hiddenSize: number;
  readonly numHeads: number;
  readonly numKvHeads: number;
  readonly keyLength: number;
  readonly valueLength?: number;
}

export function groupedQuery({ hiddenSize, numHeads, numKvHeads, keyLength, valueLength = keyLength }: Heads): Shapes {
  return {
    attn_norm: [hiddenSize],
    attn_q: [numHeads * keyLength, hiddenSize],
    attn_k: [numKvHeads * keyLength, hiddenSize],
    attn_v: [numKvHeads * valueLength, hiddenSize],
    attn_output: [hiddenSize, numHeads * valueLength],
  };
}

export function gatedFeedForward(hiddenSize: number, neurons: number): Shapes {
  return { ffn_norm: [hiddenSize], ffn_gate: [neurons, hiddenSize], ffn_up: [neurons, hiddenSize], ffn_down: [hiddenSize, neurons] };
}

export const smallHeads = { hiddenSize: 256, numHeads: 4, numKvHeads: 2, keyLength: 64 } as const;

/** A few layers with these heads, unless the keys say otherwise. */
export const smallHeader = (
  architecture: string,
  keys: HeaderOptions["keys"],
  numLayers: number,
  tensorsOf: (layer: number) => Shapes,
  isTied = true,
): HeaderOptions => ({
  architecture,
  keys: {
    block_count: numLayers,
    context_length: 65_536,
    embedding_length: smallHeads.hiddenSize,
    "attention.head_count": smallHeads.numHeads,
    "attention.head_count_kv": smallHeads.numKvHeads,
    "attention.key_length": smallHeads.keyLength,
    "attention.value_length": smallHeads.keyLength,
    ...keys,
  },
  tensors: layered(numLayers, { hiddenSize: smallHeads.hiddenSize, isTied }, tensorsOf),
});
