/** Header bytes and data layout of a file that is to be written. Writes what `openGguf` reads: the same limits hold. */
import { byteLengthOf, type DType, dtypes, InvalidRequestError } from "@thermocline/spec";
import { ByteWriter } from "./byte-writer.js";
import { encodeValue, type GgufValue } from "./gguf-value.js";
import { defaultAlignment, type GgufMagic } from "./header.js";
import { limits } from "./limits.js";

export interface GgufTensor<Data = Uint8Array | (() => AsyncIterable<Uint8Array>)> {
  readonly name: string;
  readonly dtype: DType;
  /** Row-major, outermost first. */
  readonly shape: readonly number[];
  /** Bytes in file layout. A function is called once, when the tensor's turn has come. */
  readonly data: Data;
}

export interface GgufContent<Data = GgufTensor["data"]> {
  /** In the order in which they are written. `general.alignment` is added where `alignment` asks for it. */
  readonly metadata: Iterable<readonly [key: string, value: GgufValue]>;
  readonly tensors: Iterable<GgufTensor<Data>>;
  /** Default: what the metadata says, else 32. */
  readonly alignment?: number;
  /** Default: 3. */
  readonly version?: 2 | 3;
  /** Default: "GGUF". */
  readonly magic?: GgufMagic;
}

export interface EncodedTensor<Data> {
  readonly tensor: GgufTensor<Data>;
  readonly byteLength: number;
  /** Zeros after the tensor's bytes. */
  readonly paddingBytes: number;
}

export interface EncodedGguf<Data> {
  /** Everything before the tensor data, padding included. */
  readonly header: Uint8Array<ArrayBuffer>;
  readonly tensors: readonly EncodedTensor<Data>[];
  readonly fileByteLength: number;
}

/** @throws InvalidRequestError naming the key or tensor at fault. */
export function encodeGguf<Data>(content: GgufContent<Data>): EncodedGguf<Data> {
  const { version = 3, magic = "GGUF" } = content;
  const metadata = withoutRepeats(content.metadata, ([key]) => key, "metadata");
  const tensors = withoutRepeats(content.tensors, ({ name }) => name, "tensors");
  const alignment = settleAlignment(metadata, content.alignment);
  if (metadata.size > limits.metadataCount)
    refuse("metadata", metadata.size, `has ${metadata.size} entries, the most is ${limits.metadataCount}`);
  if (tensors.size > limits.tensorCount) refuse("tensors", tensors.size, `has ${tensors.size} entries, the most is ${limits.tensorCount}`);

  const writer = new ByteWriter();
  writer.bytes(new TextEncoder().encode(magic));
  writer.u32(version);
  writer.u64(tensors.size);
  writer.u64(metadata.size);
  for (const [key, value] of metadata.values()) {
    encodeName(writer, key, limits.keyBytes, "metadata");
    encodeValue(writer, key, value);
  }
  const encoded: EncodedTensor<Data>[] = [];
  let dataBytes = 0;
  for (const tensor of tensors.values()) {
    const byteLength = tensorByteLength(tensor);
    encodeName(writer, tensor.name, limits.tensorNameBytes, "tensors");
    writer.u32(tensor.shape.length);
    for (const dimension of [...tensor.shape].reverse()) writer.u64(dimension);
    writer.u32(dtypes[tensor.dtype].ggmlType);
    writer.u64(dataBytes);
    const paddedBytes = Math.ceil(byteLength / alignment) * alignment;
    encoded.push({ tensor, byteLength, paddingBytes: paddedBytes - byteLength });
    dataBytes += paddedBytes;
  }
  if (writer.byteLength > limits.headerBytes)
    refuse("metadata", writer.byteLength, `makes a header of more than ${limits.headerBytes} bytes`);
  // Nothing follows the header of a vocabulary-only file, so nothing needs to be aligned.
  if (encoded.length > 0) writer.pad(alignment);
  const header = writer.finish();
  return { header, tensors: encoded, fileByteLength: header.length + dataBytes };
}

function refuse(parameter: string, value: unknown, problem: string): never {
  throw new InvalidRequestError(parameter, value, problem, "see GgufContent for what a file can hold");
}

function withoutRepeats<Entry>(entries: Iterable<Entry>, nameOf: (entry: Entry) => string, section: string): Map<string, Entry> {
  const named = new Map<string, Entry>();
  for (const entry of entries) {
    const name = nameOf(entry);
    if (named.has(name)) refuse(`${section}[${name}]`, name, "is given twice");
    named.set(name, entry);
  }
  return named;
}

function encodeName(writer: ByteWriter, name: string, mostBytes: number, section: string): void {
  const start = writer.byteLength;
  writer.string(name);
  const byteLength = writer.byteLength - start - 8;
  if (byteLength === 0 || byteLength > mostBytes)
    refuse(`${section}[${name.slice(0, 80)}]`, byteLength, `has a name of ${byteLength} bytes, from 1 to ${mostBytes} are allowed`);
}

/** Adds or reads `general.alignment`. */
function settleAlignment(metadata: Map<string, readonly [string, GgufValue]>, wanted: number | undefined): number {
  const key = "general.alignment";
  const stored = metadata.get(key)?.[1];
  const storedNumber = stored === undefined ? undefined : Number(typeof stored === "object" && "value" in stored ? stored.value : stored);
  if (wanted !== undefined && storedNumber !== undefined && wanted !== storedNumber)
    refuse("alignment", wanted, `is ${wanted}, the metadata say ${storedNumber}`);
  const alignment = wanted ?? storedNumber ?? defaultAlignment;
  if (!(alignment > 0 && alignment <= limits.alignment && Number.isInteger(Math.log2(alignment))))
    refuse("alignment", alignment, `is ${alignment}, no power of two up to ${limits.alignment}`);
  if (storedNumber === undefined && alignment !== defaultAlignment) metadata.set(key, [key, { type: "u32", value: alignment }]);
  return alignment;
}

function tensorByteLength<Data>({ name, dtype, shape }: GgufTensor<Data>): number {
  const parameter = `tensors[${name}]`;
  if (!Object.hasOwn(dtypes, dtype)) refuse(parameter, dtype, `${dtype} is no dtype`);
  if (shape.length > limits.dimensions) refuse(parameter, shape, `has ${shape.length} dimensions, the most is ${limits.dimensions}`);
  if (shape.some((dimension) => !Number.isSafeInteger(dimension) || dimension < 0))
    refuse(parameter, shape, "has a dimension that is no size");
  const { blockSize } = dtypes[dtype];
  const rowLength = shape.at(-1) ?? 1;
  if (rowLength % blockSize !== 0) refuse(parameter, shape, `has rows of ${rowLength}, no whole number of ${dtype} blocks of ${blockSize}`);
  const numElements = shape.reduce((product, dimension) => product * dimension, 1);
  if (!Number.isSafeInteger(numElements * 8)) refuse(parameter, shape, "is too large");
  return byteLengthOf(dtype, numElements);
}
