/** Parts of a header as they lie in a file, unchecked, for files that no writer would make. */
import { ByteWriter } from "../src/byte-writer.js";

/** Writes its bytes. */
export type Part = (writer: ByteWriter) => void;

/** Stands before the value that is at fault. */
export const here: Part = () => {};

/** The bytes of all parts, and where `here` stands: -1 where it does not. */
export function layOut(parts: readonly Part[]): { readonly bytes: Uint8Array<ArrayBuffer>; readonly hereOffset: number } {
  const writer = new ByteWriter();
  let hereOffset = -1;
  for (const part of parts) {
    if (part === here) hereOffset = writer.byteLength;
    part(writer);
  }
  return { bytes: writer.finish(), hereOffset };
}

export const u8 =
  (value: number): Part =>
  (writer) =>
    writer.u8(value);
export const u32 =
  (value: number): Part =>
  (writer) =>
    writer.u32(value);
export const u64 =
  (value: number | bigint): Part =>
  (writer) =>
    writer.u64(value);
export const string =
  (text: string): Part =>
  (writer) =>
    writer.string(text);
export const bytes =
  (...values: readonly number[]): Part =>
  (writer) =>
    writer.bytes(Uint8Array.from(values));
export const text = (characters: string): Part => bytes(...new TextEncoder().encode(characters));
export const zeros =
  (byteLength: number): Part =>
  (writer) =>
    writer.bytes(new Uint8Array(byteLength));
export const pad =
  (alignment: number): Part =>
  (writer) =>
    writer.pad(alignment);

interface Start {
  readonly magic?: string;
  readonly version?: number;
  readonly tensors?: number | bigint;
  readonly metadata?: number | bigint;
}

/** The fixed part. */
export function start({ magic = "GGUF", version = 3, tensors = 0, metadata = 0 }: Start): Part {
  return (writer) => {
    for (const part of [text(magic), u32(version), u64(tensors), u64(metadata)]) part(writer);
  };
}

/** A metadata entry up to its value. */
export function key(name: string, type: number): Part {
  return (writer) => {
    writer.string(name);
    writer.u32(type);
  };
}

export interface TensorFields {
  readonly name?: string;
  readonly shape?: readonly (number | bigint)[];
  readonly type?: number;
  readonly offset?: number | bigint;
}

/** A tensor entry, with `here` before the field that is named. */
export function tensor(fields: TensorFields, at?: "name" | "dimensions" | "shape" | "type" | "offset"): readonly Part[] {
  const { name = "w", shape = [4], type = 0, offset = 0 } = fields;
  const parts: Readonly<Record<NonNullable<typeof at>, readonly Part[]>> = {
    name: [string(name)],
    dimensions: [u32(shape.length)],
    shape: shape.map(u64),
    type: [u32(type)],
    offset: [u64(offset)],
  };
  return Object.entries(parts).flatMap(([field, written]) => (field === at ? [here, ...written] : written));
}
