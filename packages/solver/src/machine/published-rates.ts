/**
 * What kernels reach of the roofs that makers publish. The shares are those that engines were measured to reach, so that a plan for a
 * machine that nobody has at hand promises what its owner will see:
 *
 * - GPU, decode: llama.cpp's products with one token reach 73 to 78 % of an RTX 3090's bandwidth over a whole 8B Q4_0 step
 *   (github.com/ggml-org/llama.cpp/pull/15802); K-quants, which unpack more, lie below, and codebook types below those.
 * - GPU, prefill: 10,359 tokens/s of 8B Q4_0 on an RTX 4090 (pull/7676) are 25 % of its 8-bit roof and as much as its whole f16 roof; an
 *   H100 reaches half of that share. Between them lies 0.2. f16 weights: half of the f16 roof.
 * - GPU, attention: 0.4 of the f16 roof, between what decode-sized tiles and FlashAttention-2 on an A100 (0.72, arxiv.org/abs/2307.08691)
 *   reach; reading the cache streams as well as weights do.
 * - CPU: a streaming read gets about 0.85 of what the memory's transfer rate promises. Of that, products of the float and 8- and 4-bit types
 *   reach 0.88 to 1.0, 0.9 here; K-quants 0.7; codebook types, which compute more than they read, 0.35.
 * - CPU, prefill: 8-bit dot products, 64 multiplications and additions a cycle with AVX2 and 256 with AVX-512 VNNI on each core; engines
 *   reach 0.35 of it, on f16 and f32 weights a quarter of that rate.
 */
import { type DeviceRates, type DType, floatDTypes, type RateByDType } from "@thermocline/spec";
import type { PublishedGpu } from "./published-gpus.js";
import type { PublishedMemory } from "./published-memories.js";

const simpleDTypes: readonly DType[] = ["q4_0", "q4_1", "q5_0", "q5_1", "q8_0", "mxfp4"];
const kQuants: readonly DType[] = ["q2_k", "q3_k", "q4_k", "q5_k", "q6_k"];

/** `other` stands for the codebook and ternary types. */
function byFamily(rates: Readonly<Record<"float" | "simple" | "k" | "other", number>>): RateByDType {
  const of = (dtypes: readonly DType[], rate: number) => Object.fromEntries(dtypes.map((dtype) => [dtype, rate]));
  return { ...of(floatDTypes, rates.float), ...of(simpleDTypes, rates.simple), ...of(kQuants, rates.k), other: rates.other };
}

const scaled = (roof: number, shares: Readonly<Record<"float" | "simple" | "k" | "other", number>>) =>
  byFamily({ float: roof * shares.float, simple: roof * shares.simple, k: roof * shares.k, other: roof * shares.other });

/** Of one kernel of a captured graph: 1.5 to 3 µs between the ends of two dependent small kernels. */
export const gpuCommandSeconds = 2.5e-6;
/** A barrier among the threads of a CPU backend. */
export const cpuCommandSeconds = 3e-6;

/** What kernels reach on a GPU with these roofs, published or measured. `commandSeconds`: of one kernel of a captured graph. */
export function gpuRates(
  {
    memoryBytesPerSecond,
    int8OperationsPerSecond,
    f16OperationsPerSecond,
  }: Pick<PublishedGpu, "memoryBytesPerSecond" | "int8OperationsPerSecond" | "f16OperationsPerSecond">,
  commandSeconds = gpuCommandSeconds,
): DeviceRates {
  const integer = 0.2 * int8OperationsPerSecond;
  return {
    weightBytesPerSecond: scaled(memoryBytesPerSecond, { float: 0.8, simple: 0.75, k: 0.68, other: 0.55 }),
    operationsPerSecond: byFamily({ float: 0.5 * f16OperationsPerSecond, simple: integer, k: integer, other: integer }),
    kvBytesPerSecond: 0.75 * memoryBytesPerSecond,
    attentionOperationsPerSecond: 0.4 * f16OperationsPerSecond,
    commandSeconds,
  };
}

export interface PublishedProcessor {
  readonly name: string;
  readonly cores: number;
  /** Multiplications and additions of 8-bit integers a second, of all cores. */
  readonly int8OperationsPerSecond: number;
}

/** What goes with a memory where nothing is said of the processor. */
export function genericProcessor({ isServer }: Pick<PublishedMemory, "isServer">): PublishedProcessor {
  return isServer
    ? { name: "32 cores at 3 GHz with AVX-512 VNNI", cores: 32, int8OperationsPerSecond: 32 * 3e9 * 256 }
    : { name: "8 cores at 4 GHz with AVX2", cores: 8, int8OperationsPerSecond: 8 * 4e9 * 64 };
}

export function cpuRates(memory: PublishedMemory, processor: PublishedProcessor): DeviceRates {
  const streamed = 0.85 * memory.memoryBytesPerSecond;
  const integer = 0.35 * processor.int8OperationsPerSecond;
  return {
    weightBytesPerSecond: scaled(streamed, { float: 0.9, simple: 0.9, k: 0.7, other: 0.35 }),
    operationsPerSecond: byFamily({ float: integer / 4, simple: integer, k: integer, other: integer / 2 }),
    kvBytesPerSecond: 0.7 * streamed,
    attentionOperationsPerSecond: integer / 4,
    commandSeconds: cpuCommandSeconds,
  };
}
