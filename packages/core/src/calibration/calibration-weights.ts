/** Weights that no file holds: bytes that are finite numbers as blocks of every type, as many as are asked for. */
import type { ByteRange, ModelSource, TensorInfo } from "@thermocline/spec";
import { byteLengthOf, type DType } from "@thermocline/spec";

const patternByteLength = 1 << 20;

/**
 * Random bytes none of which, as the upper half of a binary16 or the exponent of another scale, makes a number that is infinite, not a
 * number or denormal: products with such scales would take other paths in hardware than those of a model.
 */
function createPattern(): Uint8Array {
  const pattern = new Uint8Array(patternByteLength);
  let state = 0x9e3779b9;
  for (let at = 0; at < pattern.length; ) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    const byte = state & 0xff;
    const exponent = byte & 0x7c;
    if (exponent >= 0x10 && exponent <= 0x6c) pattern[at++] = byte;
  }
  return pattern;
}

let pattern: Uint8Array | undefined;

/** A source of one matrix [rows, columns], whose bytes are made as they are read. */
export function createCalibrationWeight(dtype: DType, rows: number, columns: number): { source: ModelSource; info: TensorInfo } {
  pattern ??= createPattern();
  const bytes = pattern;
  const range = { offset: 0, byteLength: byteLengthOf(dtype, rows * columns) };
  const info: TensorInfo = { name: "calibration.weight", dtype, shape: [rows, columns], shard: 0, range };
  const read = async (_shard: number, { offset, byteLength }: ByteRange) => {
    const result = new Uint8Array(byteLength);
    for (let at = 0; at < byteLength; ) {
      const from = (offset + at) % bytes.length;
      const piece = bytes.subarray(from, Math.min(bytes.length, from + byteLength - at));
      result.set(piece, at);
      at += piece.length;
    }
    return result;
  };
  const source: ModelSource = {
    metadata: new Map(),
    tensors: new Map([[info.name, info]]),
    // A shard that backends cannot read by themselves: they ask `read`.
    shards: [{ kind: "blob", blob: new Blob([]) }],
    read,
    identity: "calibration",
    async [Symbol.asyncDispose]() {},
  };
  return { source, info };
}
