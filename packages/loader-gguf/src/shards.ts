/** Models in several files: `…-00001-of-00003.gguf`, each a GGUF file of its own with `split.no`, `split.count`, `split.tensors.count`. */
import { InvalidRequestError } from "@thermocline/spec";
import { GgufFormatError } from "./errors.js";
import type { GgufHeader } from "./header.js";
import { limits } from "./limits.js";
import type { FileAddress, ShardFile } from "./shard-file.js";

export interface Shard {
  readonly file: ShardFile;
  readonly header: GgufHeader;
}

interface Split {
  /** From 0. */
  readonly index: number;
  readonly count: number;
}

function failAt({ file, header }: Shard, key: string, problem: string): never {
  const value = header.metadata.get(key);
  const byteOffset = header.metadataByteOffsets.get(key) ?? 0;
  throw new GgufFormatError(file.name, `metadata[${key}].value`, typeof value === "number" ? value : typeof value, byteOffset, problem);
}

/** Which shard this is, or undefined for a model in one file. */
export function splitOf(shard: Shard): Split | undefined {
  const { metadata } = shard.header;
  if (!metadata.has("split.count")) return undefined;
  const integer = (key: string, least: number, most: number): number => {
    const value = metadata.get(key);
    if (typeof value === "number" && Number.isInteger(value) && value >= least && value <= most) return value;
    return failAt(shard, key, `is ${value === undefined ? "missing" : "no integer"} from ${least} to ${most}`);
  };
  // Writers say 0 or 1 for a model that was not split.
  const count = integer("split.count", 0, limits.shardCount);
  return count <= 1 ? undefined : { index: integer("split.no", 0, count - 1), count };
}

const shardSuffix = /-(\d{5})-of-(\d{5})(\.[^./\\]+)$/;

/** Addresses of the second shard and those after it, beside the first. */
export function siblingAddresses(first: FileAddress, { index, count }: Split): FileAddress[] {
  const { location, name } = first;
  if (index !== 0) throw new InvalidRequestError("location", name, `${name} is shard ${index + 1} of ${count}`, "open the first shard");
  const refuse = (problem: string) =>
    new InvalidRequestError("location", name, `${name} is shard 1 of ${count}, ${problem}`, "give all shards, in order");
  if (location.kind === "blob") throw refuse("and bytes have no neighbours");
  const url = location.kind === "url" ? new URL(location.url) : undefined;
  const path = url?.pathname ?? (location as { path: string }).path;
  const match = shardSuffix.exec(path);
  if (match === null || Number(match[1]) !== 1 || Number(match[2]) !== count) throw refuse("but its name does not say so");
  return Array.from({ length: count - 1 }, (_, sibling) => {
    const suffix = `-${String(sibling + 2).padStart(5, "0")}-of-${match[2]}${match[3]}`;
    const beside = (text: string) => text.slice(0, -suffix.length) + suffix;
    const siblingPath = beside(path);
    // A path may be given as `model-00001-of-00002.gguf/.`.
    const siblingName = name.endsWith(match[0]) ? beside(name) : siblingPath;
    if (url === undefined) return { ...first, location: { kind: "path", path: siblingPath }, name: siblingName };
    url.pathname = siblingPath;
    return { ...first, location: { kind: "url", url: url.href }, name: siblingName };
  });
}

/** Shards must be all of one model, in order, and hold each tensor once. */
export function checkShards(shards: readonly Shard[]): void {
  for (const [position, shard] of shards.entries()) {
    const split = splitOf(shard);
    const refuse = (problem: string) =>
      new InvalidRequestError("location", shard.file.name, `${shard.file.name} ${problem}`, "give all shards of one model, in order");
    if (split === undefined) throw refuse("is a model of its own, not a shard");
    if (split.count !== shards.length) throw refuse(`belongs to ${split.count} shards, ${shards.length} were given`);
    if (split.index !== position) throw refuse(`is shard ${split.index + 1}, but stands at place ${position + 1}`);
  }
  const owners = new Map<string, string>();
  for (const { file, header } of shards) {
    for (const { name, entryByteOffset } of header.tensors.values()) {
      const owner = owners.get(name);
      if (owner !== undefined)
        throw new GgufFormatError(file.name, `tensors[${name}].name`, name, entryByteOffset, `repeats a tensor of ${owner}`);
      owners.set(name, file.name);
    }
  }
  const [first] = shards;
  const promised = first!.header.metadata.get("split.tensors.count");
  if (promised !== undefined && promised !== owners.size)
    failAt(first!, "split.tensors.count", `promises ${promised} tensors, the shards have ${owners.size}`);
}
