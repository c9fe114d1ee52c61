import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { FileAccessError, InvalidRequestError } from "@thermocline/spec";
import { describe, expect, it } from "vitest";
import { buildGguf, type GgufTensor, type GgufValue, openGguf, writeGguf } from "../src/index.js";
import { errorOf, withDirectory } from "./inspect.js";

const data = Uint8Array.from({ length: 100 }, (_, index) => index);
const content = {
  metadata: [["general.name", "written"]] as [string, GgufValue][],
  tensors: [
    { name: "a", dtype: "i8" as const, shape: [100], data },
    { name: "b", dtype: "f32" as const, shape: [5, 5], data },
  ],
};

async function* pieces(bytes: Uint8Array, byteLength: number): AsyncGenerator<Uint8Array> {
  for (let start = 0; start < bytes.length; start += byteLength) yield bytes.subarray(start, start + byteLength);
}

describe("writeGguf", () => {
  it("gives a path, a function and memory the same bytes, streamed or not", async () => {
    const expected = buildGguf(content);
    const streamed = { ...content, tensors: content.tensors.map((tensor) => ({ ...tensor, data: () => pieces(data, 7) })) };
    for (const options of [content, streamed]) {
      const chunks: Uint8Array[] = [];
      expect(await writeGguf((chunk) => void chunks.push(chunk.slice()), options)).toEqual({ byteLength: expected.length });
      expect(new Uint8Array(Buffer.concat(chunks))).toEqual(expected);
      await withDirectory(async (directory) => {
        const path = join(directory, "model.gguf");
        await writeFile(path, "what was there before");
        await writeGguf(path, options);
        expect(new Uint8Array(await readFile(path))).toEqual(expected);
        expect(await readdir(directory)).toEqual(["model.gguf"]);
      });
    }
  });

  it("asks for a tensor's data only after everything before it is written, and waits for the target", async () => {
    const log: string[] = [];
    const lazily = (name: string): GgufTensor => ({
      name,
      dtype: "i8",
      shape: [100],
      data: () => {
        log.push(name);
        return pieces(data, 60);
      },
    });
    const target = async (chunk: Uint8Array) => {
      await new Promise((resolve) => setTimeout(resolve, 1));
      log.push(`${chunk.length}`);
    };
    await writeGguf(target, { metadata: [], tensors: [lazily("a"), lazily("b")] });
    expect(log.slice(1)).toEqual(["a", "60", "40", "28", "b", "60", "40", "28"]);
  });

  it.each([99, 101])("refuses %i bytes for a tensor of 100, and leaves the path as it was", async (byteLength) => {
    await withDirectory(async (directory) => {
      const path = join(directory, "model.gguf");
      await writeFile(path, "before");
      const wrong = new Uint8Array(byteLength);
      for (const tensorData of [wrong, () => pieces(wrong, 10)]) {
        const tensors = [{ name: "a", dtype: "i8" as const, shape: [100], data: tensorData }];
        const error = await errorOf(() => writeGguf(path, { metadata: [], tensors }));
        expect(error).toMatchObject({ code: "invalid-request", parameter: "tensors[a].data" });
      }
      expect(await readFile(path, "utf8")).toBe("before");
      expect(await readdir(directory)).toEqual(["model.gguf"]);
    });
    expect(() =>
      buildGguf({ metadata: [], tensors: [{ name: "a", dtype: "i8", shape: [100], data: new Uint8Array(byteLength) }] }),
    ).toThrow(InvalidRequestError);
  });

  it("ends with the signal's reason, or with what data and target throw, and leaves nothing behind", async () => {
    await withDirectory(async (directory) => {
      const path = join(directory, "model.gguf");
      const reason = new Error("enough");
      const controller = new AbortController();
      const tensor = (read: () => AsyncIterable<Uint8Array>) => ({
        metadata: [],
        tensors: [{ name: "a", dtype: "i8" as const, shape: [100], data: read }],
      });
      const aborting = tensor(async function* () {
        yield data.subarray(0, 50);
        controller.abort(reason);
        yield data.subarray(50);
      });
      await expect(writeGguf(path, { ...aborting, signal: controller.signal })).rejects.toBe(reason);
      const failing = tensor(async function* () {
        yield data.subarray(0, 50);
        throw reason;
      });
      await expect(writeGguf(path, failing)).rejects.toBe(reason);
      await expect(writeGguf(() => Promise.reject(reason), content)).rejects.toBe(reason);
      expect(await readdir(directory)).toEqual([]);
    });
  });

  it("into a missing directory is a FileAccessError", async () => {
    expect(await errorOf(() => writeGguf("/nowhere/model.gguf", content))).toBeInstanceOf(FileAccessError);
  });

  it("may write over the file that it reads from", async () => {
    await withDirectory(async (directory) => {
      const path = join(directory, "model.gguf");
      await writeFile(path, buildGguf(content));
      await using source = await openGguf(path);
      const tensors = [...source.tensors.values()].map((info) => ({
        ...info,
        data: async function* () {
          yield await source.read(info.shard, info.range);
        },
      }));
      await writeGguf(path, { metadata: [["general.name", "again"]], tensors });
      await using again = await openGguf(path);
      expect(again.metadata.get("general.name")).toBe("again");
      expect(await again.read(0, again.tensors.get("b")!.range)).toEqual(data);
    });
  });
});

describe("content that no file can hold", () => {
  const tensor = (fields: object) => ({ tensors: [{ name: "a", dtype: "f32", shape: [1], data: new Uint8Array(4), ...fields }] });
  const value = (given: unknown) => ({ metadata: [["key", given]] });
  const cases: readonly [string, object, string][] = [
    ["a bare number", value(7), "metadata[key]"],
    ["a bare bigint", value(7n), "metadata[key]"],
    ["null", value(null), "metadata[key]"],
    ["an array of numbers without a type", value([1, 2]), "metadata[key]"],
    ["a mixed array", value(["a", true]), "metadata[key]"],
    ["a DataView", value(new DataView(new ArrayBuffer(8))), "metadata[key]"],
    ["an unknown type", value({ type: "u128", value: 1 }), "metadata[key]"],
    ["an array of an unknown type", value({ type: "u128[]", value: [1] }), "metadata[key]"],
    ["a number that does not fit", value({ type: "u8", value: 256 }), "metadata[key]"],
    ["a negative unsigned", value({ type: "u64", value: -1 }), "metadata[key]"],
    ["a bigint that does not fit", value({ type: "i64", value: 2n ** 63n }), "metadata[key]"],
    ["an element that does not fit", value({ type: "i8[]", value: [1, 128] }), "metadata[key]"],
    ["a fraction as an integer", value({ type: "i32", value: 1.5 }), "metadata[key]"],
    ["an integer that a number cannot hold", value({ type: "u64", value: 2 ** 60 }), "metadata[key]"],
    ["a string as a number", value({ type: "f32", value: "1" }), "metadata[key]"],
    ["a number as a string", value({ type: "string", value: 1 }), "metadata[key]"],
    ["a number as a bool", value({ type: "bool", value: 1 }), "metadata[key]"],
    ["a single value as an array", value({ type: "u8[]", value: 1 }), "metadata[key]"],
    ["arrays nested too deep", value([[[[[[[[["a"]]]]]]]]]), "metadata[key]"],
    [
      "a key given twice",
      {
        metadata: [
          ["key", "a"],
          ["key", "b"],
        ],
      },
      "metadata[key]",
    ],
    ["an empty key", { metadata: [["", "a"]] }, "metadata[]"],
    ["a tensor given twice", { tensors: [...tensor({}).tensors, ...tensor({}).tensors] }, "tensors[a]"],
    ["an unknown dtype", tensor({ dtype: "q9_9" }), "tensors[a]"],
    ["five dimensions", tensor({ shape: [1, 1, 1, 1, 1] }), "tensors[a]"],
    ["a negative dimension", tensor({ shape: [-1] }), "tensors[a]"],
    ["a row of half a block", tensor({ dtype: "q8_0", shape: [16] }), "tensors[a]"],
    ["a size beyond 2^53", tensor({ shape: [2 ** 52, 4] }), "tensors[a]"],
    ["an alignment of 24", { alignment: 24 }, "alignment"],
    [
      "an alignment that the metadata contradict",
      { metadata: [["general.alignment", { type: "u32", value: 64 }]], alignment: 32 },
      "alignment",
    ],
  ];
  it.each(cases)("%s is an InvalidRequestError that names it", async (_, given, parameter) => {
    const build = async () => buildGguf({ metadata: [], tensors: [], ...given } as Parameters<typeof buildGguf>[0]);
    const error = await errorOf(build);
    expect(error).toMatchObject({ code: "invalid-request", parameter });
    expect(() => JSON.stringify(error)).not.toThrow();
  });
});
