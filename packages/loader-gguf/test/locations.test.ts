import { mkdir, open, readdir, readlink, truncate, writeFile } from "node:fs/promises";
import { join, relative } from "node:path";
import { pathToFileURL } from "node:url";
import { FileAccessError, InvalidRequestError } from "@thermocline/spec";
import { describe, expect, it } from "vitest";
import { buildGguf, GgufFormatError, openGguf, ShortReadError } from "../src/index.js";
import { blobOf, errorOf, sameStrings, withDirectory, withGguf } from "./inspect.js";

const data = Uint8Array.from({ length: 64 }, (_, index) => index);
const bytes = buildGguf({
  metadata: [["general.name", "small"]],
  tensors: [{ name: "w", dtype: "f32", shape: [16], data }],
});

async function withFile<Result>(use: (path: string) => Promise<Result>): Promise<Result> {
  return withDirectory(async (directory) => {
    const path = join(directory, "ein Modell.gguf");
    await writeFile(path, bytes);
    return use(path);
  });
}

describe("a path", () => {
  it("opens as string, as file URL and as its text, always as the same absolute path", async () => {
    await withFile(async (path) => {
      const url = pathToFileURL(path);
      for (const location of [path, url, url.href]) {
        await withGguf(location, async (source) => {
          expect(source.shards).toEqual([{ kind: "path", path }]);
          expect(source.fileByteLength).toBe(bytes.length);
          expect(await source.read(0, source.tensors.get("w")!.range)).toEqual(data);
        });
      }
    });
  });

  it("that does not exist is a FileAccessError that names it", async () => {
    const error = await errorOf(() => openGguf("/nowhere/model.gguf"));
    expect(error).toBeInstanceOf(FileAccessError);
    expect(error.message).toContain("/nowhere/model.gguf: does not exist");
  });

  it("is shown as it was given, not as where it leads", async () => {
    const missing = await errorOf(() => openGguf("./nowhere/../model.gguf"));
    expect(missing).toMatchObject({ location: "./nowhere/../model.gguf" });
    expect(missing.message).toMatch(/^\.\/nowhere\/\.\.\/model\.gguf: does not exist;/);
    await withDirectory(async (directory) => {
      const given = relative("", join(directory, "cut.gguf"));
      await writeFile(join(directory, "cut.gguf"), bytes.subarray(0, 100));
      expect(await errorOf(() => openGguf(given))).toMatchObject({ code: "invalid-gguf", location: given });
      expect(await errorOf(() => openGguf(relative("", directory)))).toMatchObject({ location: relative("", directory) });
    });
    expect((await errorOf(() => openGguf("a\0b"))).message).not.toContain(process.cwd());
  });

  it("of a directory, a pipe or device, or with a NUL, is a FileAccessError", async () => {
    await withDirectory(async (directory) => {
      await mkdir(join(directory, "model.gguf"));
      expect(await errorOf(() => openGguf(join(directory, "model.gguf")))).toBeInstanceOf(FileAccessError);
    });
    expect(await errorOf(() => openGguf("a\0b"))).toBeInstanceOf(FileAccessError);
    if (process.platform !== "win32") expect(await errorOf(() => openGguf("/dev/zero"))).toBeInstanceOf(FileAccessError);
  });

  it("of an empty file is no GGUF file", async () => {
    await withDirectory(async (directory) => {
      await writeFile(join(directory, "empty.gguf"), "");
      expect(await errorOf(() => openGguf(join(directory, "empty.gguf")))).toBeInstanceOf(GgufFormatError);
    });
  });

  it("of a file that shrinks after it was opened gives a ShortReadError", async () => {
    await withFile(async (path) => {
      await using source = await openGguf(path);
      const { range } = source.tensors.get("w")!;
      await truncate(path, range.offset + 10);
      const error = await errorOf(() => source.read(0, range));
      expect(error).toBeInstanceOf(ShortReadError);
      expect(error).toMatchObject({ offset: range.offset, expectedBytes: 64, actualBytes: 10 });
    });
  });

  it.runIf(process.platform === "linux")("keeps one file open until it is disposed of, and none after a failure", async () => {
    const openPaths = async (directory: string) => {
      const links = (await readdir("/proc/self/fd")).map((fd) => readlink(`/proc/self/fd/${fd}`).catch(() => ""));
      return (await Promise.all(links)).filter((target) => target.startsWith(directory));
    };
    await withDirectory(async (directory) => {
      const path = join(directory, "model.gguf");
      await writeFile(path, bytes);
      await writeFile(join(directory, "cut.gguf"), bytes.subarray(0, 100));
      const source = await openGguf(path);
      expect(await openPaths(directory)).toEqual([path]);
      await source[Symbol.asyncDispose]();
      await source[Symbol.asyncDispose]();
      expect(await openPaths(directory)).toEqual([]);
      await errorOf(() => openGguf(join(directory, "cut.gguf")));
      await errorOf(() => openGguf([path, join(directory, "cut.gguf")]));
      await errorOf(() => openGguf([path, path]));
      expect(await openPaths(directory)).toEqual([]);
    });
  });
});

describe("a Blob", () => {
  it("opens, and so does a file's", async () => {
    await withFile(async (path) => {
      const { openAsBlob } = await import("node:fs");
      for (const blob of [new Blob([bytes]), await openAsBlob(path)]) {
        await withGguf(blob, async (source) => {
          expect(source.metadata.get("general.name")).toBe("small");
          expect(source.shards).toEqual([{ kind: "blob", blob }]);
          expect(await source.read(0, source.tensors.get("w")!.range)).toEqual(data);
        });
      }
    });
  });

  it("whose file has changed is a FileAccessError", async () => {
    await withFile(async (path) => {
      const { openAsBlob } = await import("node:fs");
      const source = await openGguf(await openAsBlob(path));
      await writeFile(path, "other");
      expect(await errorOf(() => source.read(0, source.tensors.get("w")!.range))).toBeInstanceOf(FileAccessError);
    });
  });
});

describe("a location that cannot be one", () => {
  it.each([[[]], [null], [7], [{}], [new URL("ftp://host/model.gguf")]])("%j is an InvalidRequestError", async (location) => {
    expect(await errorOf(() => openGguf(location as unknown as string))).toBeInstanceOf(InvalidRequestError);
  });
});

describe("read", () => {
  it("refuses what does not lie in the file", async () => {
    await withGguf(new Blob([bytes]), async (source) => {
      const size = bytes.length;
      const ranges = [
        [-1, 4],
        [0, -1],
        [0.5, 1],
        [0, size + 1],
        [size, 1],
        [size + 1, 0],
        [Number.NaN, 1],
        [2 ** 53, 1],
        [0, 2 ** 32],
      ];
      for (const [offset, byteLength] of ranges as [number, number][])
        expect(await errorOf(() => source.read(0, { offset, byteLength })), `${byteLength} at ${offset}`).toBeInstanceOf(
          InvalidRequestError,
        );
      for (const shard of [-1, 1, 0.5])
        expect(await errorOf(() => source.read(shard, { offset: 0, byteLength: 1 }))).toBeInstanceOf(InvalidRequestError);
      expect(await source.read(0, { offset: size, byteLength: 0 })).toEqual(new Uint8Array(0));
      expect(await source.read(0, { offset: 0, byteLength: size })).toEqual(bytes);
    });
  });

  it("refuses after the source was disposed of", async () => {
    const source = await openGguf(new Blob([bytes]));
    await source[Symbol.asyncDispose]();
    expect(await errorOf(() => source.read(0, { offset: 0, byteLength: 1 }))).toBeInstanceOf(InvalidRequestError);
  });

  it("and opening end with the signal's reason", async () => {
    const reason = new Error("enough");
    const signal = AbortSignal.abort(reason);
    await withFile(async (path) => {
      await expect(openGguf(path, { signal })).rejects.toBe(reason);
      await using source = await openGguf(path);
      await expect(source.read(0, { offset: 0, byteLength: 1 }, { signal })).rejects.toBe(reason);
    });
    await expect(openGguf(new Blob([bytes]), { signal })).rejects.toBe(reason);
  });
});

describe("a large header", () => {
  it("is read in a few pieces, and tensor data is not touched", async () => {
    await withDirectory(async (directory) => {
      const path = join(directory, "large.gguf");
      const tokens = Array.from({ length: 400_000 }, (_, index) => `token-${index}`);
      const tensor = { name: "w", dtype: "i8" as const, shape: [2 ** 25], data: new Uint8Array(2 ** 25) };
      const header = buildGguf({ metadata: [["tokens", tokens]], tensors: [{ ...tensor, shape: [1], data: new Uint8Array(1) }] }).length;
      const file = await open(path, "w");
      await file.write(buildGguf({ metadata: [["tokens", tokens]], tensors: [tensor] }));
      await file.close();
      const { openAsBlob } = await import("node:fs");
      const blob = await openAsBlob(path);
      const reads: number[] = [];
      const counted = {
        size: blob.size,
        slice: (from: number, to: number) => {
          reads.push(to);
          return blob.slice(from, to);
        },
      } as Blob;
      await withGguf(counted, ({ metadata }) => expect(sameStrings(metadata.get("tokens"), tokens)).toBe(true));
      expect(reads.length).toBeLessThanOrEqual(4);
      expect(reads.at(-1)).toBeLessThan(2 * header);
    });
  });
});

describe("without Node", () => {
  it("a Blob opens, and a path is a FileAccessError", async () => {
    const { getBuiltinModule } = process;
    try {
      Object.assign(process, { getBuiltinModule: undefined });
      await withGguf(blobOf({ metadata: [["a", "b"]] }), (source) => expect(source.metadata.get("a")).toBe("b"));
      expect(await errorOf(() => openGguf("model.gguf"))).toBeInstanceOf(FileAccessError);
    } finally {
      Object.assign(process, { getBuiltinModule });
    }
  });
});
