/** One row for each graph, and for the ways in which files of one architecture differ: what their random models are made of. */
import type { GgufValue } from "@thermocline/loader-gguf";

export interface RandomModelShape {
  readonly numLayers: number;
  readonly hiddenSize: number;
  readonly vocabSize: number;
  readonly contextLength: number;
  readonly numHeads: number;
  readonly numKvHeads: number;
  readonly headDim: number;
  /** Leading elements of a head that are rotated; absent: all. */
  readonly ropeDims?: number;
  readonly feedForwardLength: number;
  readonly experts?: { readonly count: number; readonly used: number; readonly feedForwardLength: number };
}

export interface RandomArchitecture {
  /** `general.architecture`. */
  readonly architecture: string;
  readonly shape?: Partial<RandomModelShape>;
  /** Keys under `<architecture>.` beside those that follow from the shape. */
  readonly keys?: Readonly<Record<string, GgufValue>>;
  /** q, k and v in one tensor, gate and up in one. */
  readonly isFused?: boolean;
  /** The output matrix is the embedding. */
  readonly isTied?: boolean;
  readonly hasBiases?: boolean;
  readonly hasHeadNorms?: boolean;
  readonly hasPostNorms?: boolean;
  /** Tensors of half as many elements as are rotated, from 1 on to `growth`. */
  readonly ropeFactors?: readonly { readonly name: string; readonly growth: number }[];
}

export const u32 = (value: number): GgufValue => ({ type: "u32", value });
export const f32 = (value: number): GgufValue => ({ type: "f32", value });

export const smallShape: RandomModelShape = {
  numLayers: 2,
  hiddenSize: 64,
  vocabSize: 256,
  contextLength: 256,
  numHeads: 4,
  numKvHeads: 2,
  headDim: 16,
  feedForwardLength: 96,
};
const gemma: Omit<RandomArchitecture, "architecture"> = { isTied: true, hasPostNorms: true };

export const randomArchitectures = {
  llama: { architecture: "llama", shape: { numLayers: 3 } },
  "llama-tied-headdim": { architecture: "llama", shape: { headDim: 24, numHeads: 3, numKvHeads: 1 }, isTied: true },
  "llama-rope-linear": { architecture: "llama", keys: { "rope.scaling.type": "linear", "rope.scaling.factor": f32(4) } },
  "llama-rope-yarn": {
    architecture: "llama",
    keys: { "rope.scaling.type": "yarn", "rope.scaling.factor": f32(4), "rope.scaling.original_context_length": u32(64) },
  },
  "llama3-rope": {
    architecture: "llama",
    keys: { "rope.freq_base": f32(500_000) },
    ropeFactors: [{ name: "rope_freqs.weight", growth: 8 }],
  },
  "llama-biases": { architecture: "llama", hasBiases: true },
  mixtral: { architecture: "llama", shape: { experts: { count: 8, used: 2, feedForwardLength: 96 } } },
  qwen2: { architecture: "qwen2", shape: { vocabSize: 250 }, hasBiases: true },
  qwen3: { architecture: "qwen3", shape: { headDim: 24 }, hasHeadNorms: true, isTied: true },
  qwen3moe: {
    architecture: "qwen3moe",
    shape: { headDim: 24, experts: { count: 12, used: 4, feedForwardLength: 32 } },
    hasHeadNorms: true,
  },
  gemma2: {
    ...gemma,
    architecture: "gemma2",
    shape: { numLayers: 4, headDim: 24 },
    keys: {
      "attention.sliding_window": u32(32),
      attn_logit_softcapping: f32(4),
      final_logit_softcapping: f32(6),
    },
  },
  gemma3: {
    ...gemma,
    architecture: "gemma3",
    shape: { numLayers: 7, numKvHeads: 1 },
    hasHeadNorms: true,
    keys: {
      "attention.sliding_window": u32(32),
      "rope.freq_base": f32(1_000_000),
      "rope.scaling.type": "linear",
      "rope.scaling.factor": f32(8),
    },
  },
  phi3: { architecture: "phi3", shape: { numKvHeads: 4, headDim: 32, ropeDims: 24, feedForwardLength: 72 }, isFused: true, isTied: true },
  "phi3-longrope": {
    architecture: "phi3",
    isFused: true,
    keys: { "rope.scaling.original_context_length": u32(64), "rope.scaling.attn_factor": f32(1.19) },
    ropeFactors: [
      { name: "rope_factors_short.weight", growth: 1.5 },
      { name: "rope_factors_long.weight", growth: 16 },
    ],
  },
} satisfies Record<string, RandomArchitecture>;
