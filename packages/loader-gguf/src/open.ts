/** Opens GGUF files as a ModelSource. */
import { type ByteRange, InvalidRequestError, type ModelSource, type TensorInfo } from "@thermocline/spec";
import { type GgufMagic, readHeader } from "./header.js";
import { identityOf } from "./identity.js";
import { limits } from "./limits.js";
import { openShardFile, resolveLocation } from "./location.js";
import type { FileAddress, GgufLocation, OpenOptions, ShardFile } from "./shard-file.js";
import { checkShards, type Shard, siblingAddresses, splitOf } from "./shards.js";
import type { GgufType } from "./value-type.js";
import { readVocabulary } from "./vocabulary.js";

/** A ModelSource that also says what GGUF alone knows. */
export interface GgufSource extends ModelSource {
  /** "PWRI" for PowerInfer's files. */
  readonly magic: GgufMagic;
  /** Format version of the first shard: 2 or 3. */
  readonly version: number;
  readonly isPowerInfer: boolean;
  /** Of the first shard; tensors begin at its multiples. */
  readonly alignment: number;
  /** Bytes of all shards together. */
  readonly fileByteLength: number;
  /** Bytes of each shard. */
  readonly shardByteLengths: readonly number[];
  /** The stored type of each value of `metadata`, as its JavaScript value alone does not tell u32 from f32. */
  readonly metadataTypes: ReadonlyMap<string, GgufType>;
}

/** Requests under way at once for shards after the first. */
const concurrentOpens = 4;

/**
 * Opens a model from a path, a `file:` or `http(s):` URL, or a Blob. Reads headers only.
 *
 * The first shard of a sharded model brings the others, which must lie beside it; an array names all shards in order. Metadata is the
 * first shard's. Files stay open until the source is disposed of.
 *
 * @throws GgufFormatError, FileAccessError, RangeUnsupportedError, ShortReadError, InvalidRequestError (wrong shards), or the signal's
 * reason.
 */
export async function openGguf(location: GgufLocation | readonly GgufLocation[], options: OpenOptions = {}): Promise<GgufSource> {
  const locations = Array.isArray(location) ? (location as readonly GgufLocation[]) : [location as GgufLocation];
  const [first, ...others] = locations.map(resolveLocation);
  if (first === undefined) throw new InvalidRequestError("location", "[]", "names no file", "give a path, a URL or a Blob");
  const shards: Shard[] = [];
  try {
    await openInto(shards, [first], options);
    const split = splitOf(shards[0]!);
    const rest = others.length > 0 || split === undefined ? others : siblingAddresses(first, split);
    await openInto(shards, rest, options);
    if (split !== undefined || rest.length > 0) checkShards(shards);
    return await createSource(shards);
  } catch (error) {
    await Promise.all(shards.map(({ file }) => file.close()));
    throw error;
  }
}

/** Appends in order. On failure everything that was opened is in `shards`. */
async function openInto(shards: Shard[], addresses: readonly FileAddress[], options: OpenOptions): Promise<void> {
  for (let start = 0; start < addresses.length; start += concurrentOpens) {
    const batch = addresses.slice(start, start + concurrentOpens).map((address) => openShard(address, options));
    const outcomes = await Promise.allSettled(batch);
    for (const outcome of outcomes) if (outcome.status === "fulfilled") shards.push(outcome.value);
    for (const outcome of outcomes) if (outcome.status === "rejected") throw outcome.reason;
  }
}

async function openShard(address: FileAddress, options: OpenOptions): Promise<Shard> {
  const { file, head } = await openShardFile(address, options);
  try {
    return { file, header: await readHeader(file, head, options.signal) };
  } catch (error) {
    await file.close();
    throw error;
  }
}

async function createSource(shards: readonly Shard[]): Promise<GgufSource> {
  const { header, file } = shards[0]!;
  const files: readonly ShardFile[] = shards.map((shard) => shard.file);
  const tensors = new Map<string, TensorInfo>();
  for (const [shard, { header }] of shards.entries()) {
    for (const { name, dtype, shape, offset, byteLength } of header.tensors.values())
      tensors.set(name, { name, dtype, shape, shard, range: { offset: header.dataOffset + offset, byteLength } });
  }
  const vocabulary = readVocabulary(file.name, header);
  const chatTemplate = header.metadata.get("tokenizer.chat_template");
  const shardByteLengths = files.map(({ byteLength }) => byteLength);
  const hashed = shards.map((shard) => ({ headerBytes: shard.header.bytes, fileByteLength: shard.file.byteLength }));
  let closing: Promise<unknown> | undefined;

  return {
    magic: header.magic,
    version: header.version,
    isPowerInfer: header.magic === "PWRI",
    alignment: header.alignment,
    fileByteLength: shardByteLengths.reduce((sum, byteLength) => sum + byteLength, 0),
    shardByteLengths,
    metadata: header.metadata,
    metadataTypes: header.metadataTypes,
    ...(vocabulary && { vocabulary }),
    ...(typeof chatTemplate === "string" && { chatTemplate }),
    tensors,
    shards: files.map((shard) => shard.location),
    identity: await identityOf(hashed),
    async read(shard, range, readOptions = {}) {
      if (closing !== undefined) throw new InvalidRequestError("source", file.name, "was disposed of", "open the model again");
      readOptions.signal?.throwIfAborted();
      return checkedFile(files, shard, range).read(range, readOptions.signal);
    },
    async [Symbol.asyncDispose]() {
      closing ??= Promise.all(files.map((shard) => shard.close()));
      await closing;
    },
  };
}

function checkedFile(files: readonly ShardFile[], shard: number, range: ByteRange): ShardFile {
  const file = files[shard];
  if (file === undefined)
    throw new InvalidRequestError("shard", shard, `${shard} is no shard of ${files.length}`, "use the shard that TensorInfo names");
  const { offset, byteLength } = range;
  if (byteLength > limits.readBytes)
    throw new InvalidRequestError(
      "range",
      range,
      `${byteLength} bytes are too many for one read`,
      `read at most ${limits.readBytes} at a time`,
    );
  const isInFile = Number.isSafeInteger(offset) && Number.isSafeInteger(byteLength) && offset >= 0 && byteLength >= 0;
  if (!isInFile || offset + byteLength > file.byteLength)
    throw new InvalidRequestError(
      "range",
      range,
      `${byteLength} bytes at ${offset} do not lie in the ${file.byteLength} bytes of ${file.name}`,
      "use ranges that TensorInfo names",
    );
  return file;
}
