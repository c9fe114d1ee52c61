/** Parts of a header as they lie in a file, unchecked, for files that no writer would make. */
import type { ByteWriter } from "../src/byte-writer.js";

interface Start {
  readonly magic?: string;
  readonly version?: number;
  readonly tensors?: number | bigint;
  readonly metadata?: number | bigint;
}

/** The fixed part. */
export function start(writer: ByteWriter, { magic = "GGUF", version = 3, tensors = 0, metadata = 0 }: Start): void {
  writer.bytes(new TextEncoder().encode(magic));
  writer.u32(version);
  writer.u64(tensors);
  writer.u64(metadata);
}

/** A metadata entry up to its value. */
export function key(writer: ByteWriter, name: string, type: number): void {
  writer.string(name);
  writer.u32(type);
}

export interface TensorFields {
  readonly name?: string;
  readonly shape?: readonly (number | bigint)[];
  readonly type?: number;
  readonly offset?: number | bigint;
}

/** A tensor entry. Calls `mark` before the field that `at` names. */
export function tensor(
  writer: ByteWriter,
  fields: TensorFields,
  at?: "name" | "dimensions" | "shape" | "type" | "offset",
  mark = () => {},
): void {
  const { name = "w", shape = [4], type = 0, offset = 0 } = fields;
  if (at === "name") mark();
  writer.string(name);
  if (at === "dimensions") mark();
  writer.u32(shape.length);
  if (at === "shape") mark();
  for (const dimension of shape) writer.u64(dimension);
  if (at === "type") mark();
  writer.u32(type);
  if (at === "offset") mark();
  writer.u64(offset);
}

export function zeros(writer: ByteWriter, byteLength: number): void {
  writer.bytes(new Uint8Array(byteLength));
}
