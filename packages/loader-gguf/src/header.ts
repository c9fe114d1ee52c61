/** The header of one file: magic, version, counts, metadata, tensor table. Tensor data is not touched. */
import { HeaderCursor, NeedMoreBytes } from "./header-cursor.js";
import { limits } from "./limits.js";
import { readMetadataEntry } from "./metadata.js";
import { MetadataMap } from "./metadata-map.js";
import type { ShardFile } from "./shard-file.js";
import { checkTensorRanges, minimumTensorEntryBytes, readTensorEntry, type TensorEntry } from "./tensor-table.js";
import type { GgufType } from "./value-type.js";

export const magics = ["GGUF", "PWRI"] as const;
/** `PWRI` is PowerInfer's: the same layout, other tensors. */
export type GgufMagic = (typeof magics)[number];

export const defaultAlignment = 32;
/** Smallest entry: a key's length, a type and a one-byte value. */
const minimumMetadataEntryBytes = 13;

export interface GgufHeader {
  magic: GgufMagic;
  version: number;
  alignment: number;
  readonly metadata: MetadataMap;
  readonly metadataTypes: Map<string, GgufType>;
  /** Where each value begins in the file, for errors. */
  readonly metadataByteOffsets: Map<string, number>;
  readonly tensors: Map<string, TensorEntry>;
  /** Where tensor data begins. */
  dataOffset: number;
  /** The header's bytes, without the padding before the data. */
  bytes: Uint8Array<ArrayBuffer>;
}

/** Large vocabularies make headers of 5 to 8 MiB, which are all there after a second read. */
const secondPartEnd = 8 << 20;

/** `head` is the beginning of the file, of any length; the rest is read in parts that double, so that a few reads do. */
export async function readHeader(file: ShardFile, head: Uint8Array<ArrayBuffer>, signal?: AbortSignal): Promise<GgufHeader> {
  const cursor = new HeaderCursor(file.name, file.byteLength);
  const parser = new HeaderParser(cursor);
  let bytes = head;
  for (;;) {
    cursor.resume(bytes);
    try {
      return parser.parse();
    } catch (error) {
      if (!(error instanceof NeedMoreBytes)) throw error;
      const end = Math.min(Math.max(error.endOffset, 2 * bytes.length, secondPartEnd), file.byteLength, limits.headerBytes);
      const more = await file.read({ offset: bytes.length, byteLength: end - bytes.length }, signal);
      const longer = new Uint8Array(end);
      longer.set(bytes);
      longer.set(more, bytes.length);
      bytes = longer;
    }
  }
}

class HeaderParser {
  #counts: { readonly metadata: number; readonly tensors: number } | undefined;
  readonly #header: GgufHeader = {
    magic: "GGUF",
    version: 0,
    alignment: defaultAlignment,
    metadata: new MetadataMap(),
    metadataTypes: new Map(),
    metadataByteOffsets: new Map(),
    tensors: new Map(),
    dataOffset: 0,
    bytes: new Uint8Array(0),
  };

  constructor(private readonly cursor: HeaderCursor) {}

  /** Goes on where the last call ran out of bytes, at the entry that it could not finish. */
  parse(): GgufHeader {
    const cursor = this.cursor;
    const header = this.#header;
    const { metadata, metadataTypes, metadataByteOffsets, tensors } = header;
    this.#counts ??= this.#readStart();
    while (metadata.size < this.#counts.metadata) {
      const { key, type, value, byteOffset } = readMetadataEntry(cursor, metadata.size, (known) => metadata.has(known));
      if (key === "general.alignment") header.alignment = checkAlignment(cursor, value, byteOffset);
      metadata.set(key, value);
      metadataTypes.set(key, type);
      metadataByteOffsets.set(key, byteOffset);
      cursor.commit();
    }
    const isKnown = (name: string) => tensors.has(name);
    while (tensors.size < this.#counts.tensors) {
      const entry = readTensorEntry(cursor, tensors.size, header.alignment, isKnown);
      tensors.set(entry.name, entry);
      cursor.commit();
    }
    header.dataOffset = Math.ceil(cursor.offset / header.alignment) * header.alignment;
    header.bytes = cursor.bytes.subarray(0, cursor.offset);
    checkTensorRanges(cursor, [...tensors.values()], header.dataOffset);
    return header;
  }

  #readStart(): { readonly metadata: number; readonly tensors: number } {
    const cursor = this.cursor;
    cursor.enter("", "");
    cursor.need(4, "magic");
    const magic = String.fromCharCode(...cursor.bytes.subarray(0, 4));
    const known = magics.find((candidate) => candidate === magic);
    if (known === undefined) return cursor.fail("magic", JSON.stringify(magic), `is ${JSON.stringify(magic)}`, 0, cureOfMagic(magic));
    cursor.offset = 4;
    const version = cursor.u32("version");
    if (version !== 2 && version !== 3) refuseVersion(cursor, version);

    const tensors = cursor.count("tensorCount", limits.tensorCount);
    const metadata = cursor.count("metadataCount", limits.metadataCount);
    const boundByFile = (field: string, count: number, entryBytes: number, byteOffset: number) => {
      if (count * entryBytes > cursor.bytesLeft)
        cursor.fail(field, count, `is ${count}, the file has ${cursor.bytesLeft} more bytes`, byteOffset);
    };
    boundByFile("tensorCount", tensors, minimumTensorEntryBytes, 8);
    boundByFile("metadataCount", metadata, minimumMetadataEntryBytes, 16);
    this.#header.magic = known;
    this.#header.version = version;
    cursor.commit();
    return { metadata, tensors };
  }
}

function cureOfMagic(magic: string): string {
  if (magic === "vers") return "this looks like a Git LFS pointer; fetch the file itself with `git lfs pull`";
  if (magic.startsWith("<")) return "this looks like a web page; use the address of the file itself";
  return 'a GGUF file begins with "GGUF" (or "PWRI"); convert the model to GGUF';
}

function refuseVersion(cursor: HeaderCursor, version: number): never {
  const swapped = version % 0x10000 === 0 && version !== 0;
  const problem = swapped ? "shows that the file is big endian" : `is ${version}`;
  const cure = swapped ? "convert it to little endian" : "versions 2 and 3 are read; convert the model again";
  return cursor.fail("version", version, problem, 4, cure);
}

function checkAlignment(cursor: HeaderCursor, value: unknown, byteOffset: number): number {
  const isPowerOfTwo = typeof value === "number" && value > 0 && value <= limits.alignment && Number.isInteger(Math.log2(value));
  if (!isPowerOfTwo) {
    const shown = typeof value === "object" ? "an array" : String(value).slice(0, 40);
    cursor.fail("value", shown, `is ${shown}, no power of two up to ${limits.alignment}`, byteOffset);
  }
  return value as number;
}
