/** What memory asks of a model that no graph here computes: the kinds of its layers, read off its header. */
import type { TensorInfo } from "@thermocline/spec";

/** What a layer keeps of every token, and how much each later token reads of it. */
export type AttentionShape =
  | {
      readonly kind: "grouped-query";
      readonly numHeads: number;
      readonly numKvHeads: number;
      /** Elements of a head's key and of its value. */
      readonly keyLength: number;
      readonly valueLength: number;
      /** A token sees this many tokens, itself included; absent: all before it. */
      readonly slidingWindow?: number;
    }
  | {
      /** Multi-head latent attention (DeepSeek-V2): keys of all heads are one latent vector and a rotary part; values are a view of the latent. */
      readonly kind: "latent";
      readonly numHeads: number;
      readonly latentLength: number;
      readonly ropeLength: number;
      /** Elements of the key by which a sparse layer chooses the tokens that it looks at; 0 without. */
      readonly indexLength: number;
    }
  | {
      /** Reads what an earlier layer keeps, and keeps nothing itself. */
      readonly kind: "shared";
      readonly numHeads: number;
      readonly sourceLayer: number;
    }
  | { readonly kind: "none" };

/** f32 elements that a layer carries from token to token of one sequence, whatever the context: the last inputs of its convolution, and its state. */
export interface RecurrentState {
  readonly convolutionElements: number;
  readonly stateElements: number;
}

export type FeedForwardShape =
  | {
      readonly kind: "dense";
      readonly neurons: number;
      /** Neurons are cut at its multiples alone: down is quantised along them. */
      readonly blockSize: number;
    }
  | { readonly kind: "experts"; readonly count: number; readonly used: number }
  | { readonly kind: "none" };

export interface LayerShape {
  readonly attention: AttentionShape;
  /** Beside attention or in place of it. */
  readonly recurrentState?: RecurrentState;
  readonly feedForward: FeedForwardShape;
  /** By their names without "blk.N.". */
  readonly tensors: ReadonlyMap<string, TensorInfo>;
}

export interface ModelShape {
  readonly architecture: string;
  readonly hiddenSize: number;
  /** Vectors of `hiddenSize` that pass from layer to layer for each token. */
  readonly numResidualStreams: number;
  readonly vocabSize: number;
  /** Longest context that the model was trained for. */
  readonly contextLength: number;
  /** Makes vectors of texts and generates nothing. */
  readonly isEmbedder: boolean;
  readonly layers: readonly LayerShape[];
  /** Of no layer. */
  readonly tensors: readonly TensorInfo[];
  /** What could not be read and was counted as more than it can be, a sentence each. */
  readonly assumptions: readonly string[];
}
