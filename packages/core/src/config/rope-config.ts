/** Rotary positions from the `rope.*` keys and factor tensors: scalings become divisors of the frequencies and a magnitude. */
import type { RopeConfig, RopeMode } from "@thermocline/spec";
import type { ArchitectureMetadata } from "./architecture-metadata.js";

/** What a rope depends on beside its own keys. */
export interface RopeContext {
  readonly mode: RopeMode;
  readonly headDim: number;
  /** Tokens that the model was trained for; scalings that do not say what they extend extend this. */
  readonly contextLength: number;
}

/** @throws UnsupportedModelError for a scaling that is unknown or contradicts itself; InvalidTensorError for a malformed key. */
export function readRopeConfig(metadata: ArchitectureMetadata, { mode, headDim, contextLength }: RopeContext): RopeConfig {
  const dims = metadata.number("rope.dimension_count", headDim);
  if (dims % 2 !== 0 || dims > headDim || dims <= 0)
    throw metadata.unsupported("rope.dimension_count", `${dims} of a head's ${headDim} elements cannot be rotated`);
  const theta = readRopeBase(metadata, "rope.freq_base", 10_000);
  return { theta, dims, mode, ...readScaling(metadata, theta, dims, contextLength) };
}

export function readRopeBase(metadata: ArchitectureMetadata, key: string, fallback: number): number {
  const theta = metadata.number(key, fallback);
  if (theta <= 0) throw metadata.unsupported(key, `a base of ${theta} cannot be`);
  return theta;
}

type Scaling = Pick<RopeConfig, "frequencyFactors" | "magnitude">;

function readScaling(metadata: ArchitectureMetadata, theta: number, dims: number, contextLength: number): Scaling {
  // A factor without a type is linear, and 0 stands for none.
  const type = metadata.string("rope.scaling.type", "linear");
  const factor = metadata.number("rope.scaling.factor", metadata.number("rope.scale_linear", 1)) || 1;
  const originalContextLength = metadata.number("rope.scaling.original_context_length", contextLength);
  const magnitude = metadata.number("rope.scaling.attn_factor", 1);
  metadata.ignore("rope.scaling.finetuned");
  if (!["none", "linear", "yarn", "longrope"].includes(type))
    throw metadata.unsupported("rope.scaling.type", `rope scaling ${type} is not in this graph`);
  if (factor < 0) throw metadata.unsupported("rope.scaling.factor", `a factor of ${factor} cannot be`);
  if (originalContextLength <= 0)
    throw metadata.unsupported("rope.scaling.original_context_length", `a context of ${originalContextLength} tokens cannot be`);
  if (magnitude <= 0) throw metadata.unsupported("rope.scaling.attn_factor", `a magnitude of ${magnitude} cannot be`);

  const computed = type === "yarn" ? readYarn(metadata, { theta, dims, factor, originalContextLength }) : linear(dims, factor, type);
  const ofFile = factorTensors(metadata, originalContextLength);
  if (type === "longrope" && (ofFile === undefined || !("longTensor" in ofFile)))
    throw metadata.unsupported("rope.scaling.type", "the scaling longrope needs the tensors rope_factors_long and rope_factors_short");
  if (ofFile !== undefined && computed.frequencyFactors !== undefined)
    throw metadata.unsupported("rope.scaling.factor", "the file holds rope factors and asks for another scaling on top");
  const frequencyFactors = ofFile ?? computed.frequencyFactors;
  return { magnitude: magnitude * computed.magnitude, ...(frequencyFactors === undefined ? {} : { frequencyFactors }) };
}

/** Llama 3 stores one tensor of factors, longrope two. */
function factorTensors({ source }: ArchitectureMetadata, originalContextLength: number): RopeConfig["frequencyFactors"] {
  const [shortTensor, longTensor] = ["rope_factors_short.weight", "rope_factors_long.weight"] as const;
  if (source.tensors.has(longTensor)) return { shortTensor, longTensor, originalContextLength };
  return source.tensors.has("rope_freqs.weight") ? { tensor: "rope_freqs.weight" } : undefined;
}

/** Every position is divided by the factor. */
function linear(dims: number, factor: number, type: string): Scaling {
  if (type === "none" || factor === 1) return { magnitude: 1 };
  return { magnitude: 1, frequencyFactors: { values: new Array<number>(dims / 2).fill(factor) } };
}

interface YarnContext {
  readonly theta: number;
  readonly dims: number;
  readonly factor: number;
  readonly originalContextLength: number;
}

function readYarn(metadata: ArchitectureMetadata, context: YarnContext): Scaling {
  const { factor } = context;
  const betaFast = metadata.number("rope.scaling.yarn_beta_fast", 32);
  const betaSlow = metadata.number("rope.scaling.yarn_beta_slow", 1);
  // Negative: the scaling's own default, which is to extrapolate in full.
  const named = metadata.number("rope.scaling.yarn_ext_factor", -1);
  const extrapolation = named < 0 ? 1 : named;
  if (metadata.number("rope.scaling.yarn_attn_factor", 1) !== 1)
    throw metadata.unsupported("rope.scaling.yarn_attn_factor", "a magnitude beside YaRN's own is not in this graph");
  if (factor === 1) return { magnitude: 1 };
  const magnitude = extrapolation === 0 || factor < 1 ? 1 : 1 + 0.1 * Math.log(factor);
  return { magnitude, frequencyFactors: { values: yarnFactors(context, betaFast, betaSlow, extrapolation) } };
}

/**
 * YaRN (Peng et al. 2023), as ggml computes it: pairs that turn more than betaFast times in the original context keep their frequency,
 * those that turn less than betaSlow times are divided by the factor, and a linear ramp over the pairs lies between.
 */
function yarnFactors(
  { theta, dims, factor, originalContextLength }: YarnContext,
  betaFast: number,
  betaSlow: number,
  extrapolation: number,
): readonly number[] {
  const pairThatTurns = (times: number) => (dims * Math.log(originalContextLength / (times * 2 * Math.PI))) / (2 * Math.log(theta));
  const low = Math.max(0, Math.floor(pairThatTurns(betaFast)));
  const high = Math.min(dims - 1, Math.ceil(pairThatTurns(betaSlow)));
  return Array.from({ length: dims / 2 }, (_, pair) => {
    const ramp = Math.min(1, Math.max(0, (pair - low) / Math.max(0.001, high - low)));
    const kept = (1 - ramp) * extrapolation;
    return 1 / ((1 - kept) / factor + kept);
  });
}
