import { rm, writeFile } from "node:fs/promises";
import { join, relative } from "node:path";
import { FileAccessError, InvalidRequestError } from "@thermocline/spec";
import { describe, expect, it } from "vitest";
import { buildGguf, GgufFormatError, type GgufValue, openGguf } from "../src/index.js";
import { errorOf, withDirectory, withGguf } from "./inspect.js";

interface ShardFields {
  readonly index: number;
  readonly count?: number;
  readonly tensor?: string;
  readonly total?: number;
}

/** A shard with one tensor of one byte, the shard's index. The first also has the model's metadata. */
function shard({ index, count = 3, tensor = `w${index}`, total = 3 }: ShardFields): Uint8Array<ArrayBuffer> {
  const split: [string, GgufValue][] = [
    ["split.no", { type: "u16", value: index }],
    ["split.count", { type: "u16", value: count }],
    ["split.tensors.count", { type: "i32", value: total }],
  ];
  return buildGguf({
    metadata: index === 0 ? [["general.architecture", "llama"], ...split] : split,
    tensors: [{ name: tensor, dtype: "i8", shape: [1], data: Uint8Array.of(index) }],
  });
}

const whole = () => [0, 1, 2].map((index) => shard({ index }));
const blobs = (files: readonly Uint8Array<ArrayBuffer>[]) => files.map((bytes) => new Blob([bytes]));

async function withShards<Result>(use: (paths: readonly string[]) => Promise<Result>): Promise<Result> {
  return withDirectory(async (directory) => {
    const paths = [1, 2, 3].map((number) => join(directory, `model-0000${number}-of-00003.gguf`));
    for (const [index, bytes] of whole().entries()) await writeFile(paths[index]!, bytes);
    return use(paths);
  });
}

describe("a sharded model", () => {
  it("opens from its first shard", async () => {
    await withShards(async (paths) => {
      await withGguf(paths[0]!, async (source) => {
        expect(source.metadata.get("general.architecture")).toBe("llama");
        expect(source.shards).toEqual(paths.map((path) => ({ kind: "path", path })));
        expect(source.shardByteLengths).toEqual(whole().map(({ length }) => length));
        expect([...source.tensors.keys()]).toEqual(["w0", "w1", "w2"]);
        for (const { shard, range } of source.tensors.values()) expect(await source.read(shard, range)).toEqual(Uint8Array.of(shard));
      });
    });
  });

  it("has one identity, whether found beside the first shard, given in full, or in memory", async () => {
    await withShards(async (paths) => {
      const identities = new Set<string>();
      for (const location of [paths[0]!, paths, blobs(whole())]) identities.add(await withGguf(location, ({ identity }) => identity));
      expect(identities.size).toBe(1);
    });
  });

  it("whose second file is missing is a FileAccessError that names it", async () => {
    await withShards(async (paths) => {
      await rm(paths[1]!);
      const error = await errorOf(() => openGguf(paths[0]!));
      expect(error).toBeInstanceOf(FileAccessError);
      expect(error.message).toContain(`${paths[1]}: does not exist`);
      expect(await errorOf(() => openGguf(relative("", paths[0]!)))).toMatchObject({ location: relative("", paths[1]!) });
    });
  });

  it("whose first file was renamed is refused with a cure", async () => {
    await withDirectory(async (directory) => {
      const path = join(directory, "model.gguf");
      await writeFile(path, shard({ index: 0 }));
      const error = await errorOf(() => openGguf(path));
      expect(error).toBeInstanceOf(InvalidRequestError);
      expect(error.cure).toBe("give all shards, in order");
    });
  });

  it("opened at another shard than the first is refused with a cure", async () => {
    await withShards(async (paths) => {
      const error = await errorOf(() => openGguf(paths[1]!));
      expect(error).toBeInstanceOf(InvalidRequestError);
      expect(error.cure).toBe("open the first shard");
    });
  });

  const wrong: readonly [string, readonly Uint8Array<ArrayBuffer>[]][] = [
    ["bytes of the first shard alone", [shard({ index: 0 })]],
    ["shards out of order", [shard({ index: 0 }), shard({ index: 2 }), shard({ index: 1 })]],
    ["a shard given twice", [shard({ index: 0 }), shard({ index: 1 }), shard({ index: 1 })]],
    ["too few shards", [shard({ index: 0 }), shard({ index: 1 })]],
    ["a shard of another model", [shard({ index: 0 }), shard({ index: 1 }), shard({ index: 2, count: 4 })]],
    ["a file that is no shard", [shard({ index: 0 }), buildGguf({ metadata: [], tensors: [] }), shard({ index: 2 })]],
    ["two models", [buildGguf({ metadata: [], tensors: [] }), buildGguf({ metadata: [], tensors: [] })]],
  ];
  it.each(wrong)("refuses %s", async (_, files) => {
    expect(await errorOf(() => openGguf(blobs(files)))).toBeInstanceOf(InvalidRequestError);
  });

  it("refuses a tensor that two shards have", async () => {
    const error = await errorOf(() => openGguf(blobs([shard({ index: 0 }), shard({ index: 1, tensor: "w0" }), shard({ index: 2 })])));
    expect(error).toBeInstanceOf(GgufFormatError);
    expect(error).toMatchObject({ field: "tensors[w0].name", value: "w0" });
  });

  it("refuses shards that lack promised tensors", async () => {
    const error = await errorOf(() => openGguf(blobs([shard({ index: 0, total: 4 }), shard({ index: 1 }), shard({ index: 2 })])));
    expect(error).toBeInstanceOf(GgufFormatError);
    expect(error).toMatchObject({ field: "metadata[split.tensors.count].value", value: 4 });
  });

  it.each([
    [70_000, 0, "split.count"],
    [2, 2, "split.no"],
  ])("refuses split.count %i with split.no %i", async (count, index, key) => {
    const metadata: [string, GgufValue][] = [
      ["split.count", { type: "u32", value: count }],
      ["split.no", { type: "u32", value: index }],
    ];
    const error = await errorOf(() => openGguf(new Blob([buildGguf({ metadata, tensors: [] })])));
    expect(error).toMatchObject({ code: "invalid-gguf", field: `metadata[${key}].value` });
  });

  it("that was split into one file opens as a model of its own", async () => {
    await withGguf(new Blob([shard({ index: 0, count: 1, total: 1 })]), ({ tensors }) => expect(tensors.size).toBe(1));
  });
});
