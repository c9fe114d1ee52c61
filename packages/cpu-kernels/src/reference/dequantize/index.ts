/** Every ggml type that holds weights, turned into floats. */
import { assert, type DType, dtypes } from "@thermocline/spec";
import type { BlockDecoder } from "./block-decoder.js";
import { q4_0, q4_1, q5_0, q5_1, q8_0, q8_1 } from "./blocks-of-32.js";
import { iq1_m, iq1_s, iq2_s, iq2_xs, iq2_xxs, iq3_s, iq3_xxs } from "./codebook-blocks.js";
import { decodeBFloat16, decodeFloat16, decodeFloat32 } from "./float-formats.js";
import { q2_k, q3_k, q4_k, q5_k, q6_k, q8_k } from "./k-quants.js";
import { tq1_0, tq2_0 } from "./ternary.js";
import { iq4_nl, iq4_xs, mxfp4, nvfp4 } from "./value-tables.js";

type RowDecoder = (bytes: Uint8Array, out: Float32Array) => void;

const rowDecoders = new Map<DType, RowDecoder>([
  ["f32", decodeFloat32],
  ["f16", decodeFloat16],
  ["bf16", decodeBFloat16],
]);

const blockDecoders: Partial<Record<DType, BlockDecoder>> = {
  q4_0,
  q4_1,
  q5_0,
  q5_1,
  q8_0,
  q8_1,
  q2_k,
  q3_k,
  q4_k,
  q5_k,
  q6_k,
  q8_k,
  iq1_s,
  iq1_m,
  iq2_xxs,
  iq2_xs,
  iq2_s,
  iq3_xxs,
  iq3_s,
  iq4_nl,
  iq4_xs,
  tq1_0,
  tq2_0,
  mxfp4,
  nvfp4,
};

for (const [dtype, decodeBlock] of Object.entries(blockDecoders)) {
  const { blockSize, blockBytes } = dtypes[dtype as DType];
  rowDecoders.set(dtype as DType, (bytes, out) => {
    for (let offset = 0, at = 0; at < out.length; offset += blockBytes, at += blockSize) decodeBlock(bytes, offset, out, at);
  });
}

/** Whether `dequantizeRows` knows the type: all but the integers and f64. */
export function canDequantize(dtype: DType): boolean {
  return rowDecoders.has(dtype);
}

/**
 * Writes the elements of whole blocks, in storage order, as f32: bit for bit what ggml's formulas give in float32 arithmetic.
 * `out` has exactly as many elements as `bytes` holds.
 */
export function dequantizeRows(dtype: DType, bytes: Uint8Array, out: Float32Array): void {
  const decodeRows = rowDecoders.get(dtype);
  assert(decodeRows !== undefined, `${dtype} holds no weights`);
  const { blockSize, blockBytes } = dtypes[dtype];
  assert(
    bytes.length % blockBytes === 0 && out.length === (bytes.length / blockBytes) * blockSize,
    `${bytes.length} bytes of ${dtype} do not hold ${out.length} elements`,
  );
  decodeRows(bytes, out);
}
