import { existsSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { buildGguf, openGguf, typedMetadata } from "../src/index.js";
import { withGguf } from "./inspect.js";

const repository = resolve(import.meta.dirname, "../../..");
const dataDirectory = resolve(repository, "../shared/data");
const hasData = existsSync(dataDirectory);
if (!hasData) console.warn("../shared/data is absent: files of other writers are not opened");

interface RealFile {
  readonly file: string;
  readonly metadata: number;
  readonly tensors: number;
  /** First half of the identity. */
  readonly identity: string;
  readonly vocabulary: object;
  readonly isPowerInfer?: boolean;
}

const spm512 = { model: "spm", tokens: 512, merges: undefined, special: { bos: 1, eos: 2, unk: 0 }, addBos: true };
const spm32000 = { ...spm512, tokens: 32000 };

const files: readonly RealFile[] = [
  { file: "models/arch-qwen3moe.gguf", metadata: 26, tensors: 39, identity: "25617069a7b97f67133c42e5ba11f940", vocabulary: spm512 },
  { file: "models/mini-256-q4_k.gguf", metadata: 21, tensors: 21, identity: "b6a522c0d422ea5521ffb22dc0f9bf98", vocabulary: spm512 },
  { file: "models/mini-256-tq2_0.gguf", metadata: 21, tensors: 21, identity: "ac3da989770002a292e694381ead19c1", vocabulary: spm512 },
  { file: "models/stories260K-f32.gguf", metadata: 22, tensors: 47, identity: "daca1662e5798bb39179b5b59c64462d", vocabulary: spm512 },
  { file: "models/stories15M-q8_0.gguf", metadata: 23, tensors: 56, identity: "fd527669334fd87f6e7989a9870a6641", vocabulary: spm32000 },
  {
    file: "models/stories15M-relu-f16.powerinfer.gguf",
    metadata: 24,
    tensors: 68,
    identity: "f5817a50c750d3ac4f7f42da81ef9e19",
    vocabulary: spm32000,
    isPowerInfer: true,
  },
  {
    file: "tokenizers/ggml-vocab-bert-bge.gguf",
    metadata: 20,
    tensors: 0,
    identity: "649205c3ee518bf9b391c2a4db4536dd",
    vocabulary: {
      model: "wpm",
      tokens: 30522,
      merges: undefined,
      special: { bos: 101, unk: 100, pad: 0, sep: 102, cls: 101 },
      addBos: true,
    },
  },
  {
    file: "tokenizers/ggml-vocab-deepseek-llm.gguf",
    metadata: 23,
    tensors: 0,
    identity: "b18e4cbdc7eb274632b0d7573ee8d2d8",
    vocabulary: { model: "bpe", tokens: 102400, merges: 99757, special: { bos: 100000, eos: 100001, pad: 100001 }, addBos: true },
  },
  {
    file: "tokenizers/ggml-vocab-gpt-2.gguf",
    metadata: 16,
    tensors: 0,
    identity: "8cdd8b1a1fdddec9913ee419488c3118",
    vocabulary: { model: "bpe", tokens: 50257, merges: 50000, special: { bos: 50256, eos: 50256, eot: 50256 }, addBos: false },
  },
  {
    file: "tokenizers/ggml-vocab-llama-spm.gguf",
    metadata: 22,
    tensors: 0,
    identity: "0bba8230969de1e2d157fe4fff2bb467",
    vocabulary: spm32000,
  },
  {
    file: "tokenizers/ggml-vocab-starcoder.gguf",
    metadata: 19,
    tensors: 0,
    identity: "5a9d61711364f9307b416dba6d4cb668",
    vocabulary: { model: "bpe", tokens: 49152, merges: 48872, special: { bos: 0, eos: 0, unk: 0, eot: 0 }, addBos: false },
  },
];

describe.runIf(hasData)("files that other programs wrote", () => {
  it.each(files)("$file opens with its counts, vocabulary and identity", async (expected) => {
    await withGguf(resolve(dataDirectory, expected.file), (source) => {
      expect({ metadata: source.metadata.size, tensors: source.tensors.size }).toEqual({
        metadata: expected.metadata,
        tensors: expected.tensors,
      });
      expect(source.isPowerInfer).toBe(expected.isPowerInfer ?? false);
      expect(source.identity.slice(0, 32)).toBe(expected.identity);
      const { model, tokens, merges, special, addBos } = source.vocabulary!;
      expect({ model, tokens: tokens.length, merges: merges?.length, special, addBos }).toEqual(expected.vocabulary);
    });
  });

  it.each(files)("$file is written again to the same bytes", async ({ file }) => {
    const path = resolve(dataDirectory, file);
    await using source = await openGguf(path);
    const { magic, version } = source;
    const tensors = await Promise.all(
      [...source.tensors.values()].map(async (info) => ({ ...info, data: await source.read(info.shard, info.range) })),
    );
    const again = buildGguf({ metadata: typedMetadata(source), tensors, magic, version: version as 2 | 3 });
    expect(Buffer.compare(again, readFileSync(path))).toBe(0);
  });
});

describe("the model in this repository", () => {
  const path = resolve(repository, "models/stories15M-q8_0.gguf");

  it("opens as path and as Blob with one identity, and reads the same bytes", async () => {
    const identity = "fd527669334fd87f6e7989a9870a6641261cd3c505b2562f3c7c4bc274464a81";
    const file = readFileSync(path);
    for (const location of [path, new Blob([file])]) {
      await withGguf(location, async (source) => {
        expect(source.identity).toBe(identity);
        expect([source.version, source.alignment, source.metadata.size, source.tensors.size]).toEqual([3, 32, 23, 56]);
        expect(source.metadata.get("general.architecture")).toBe("llama");
        const { dtype, shape, range } = source.tensors.get("token_embd.weight")!;
        expect({ dtype, shape }).toEqual({ dtype: "q8_0", shape: [32000, 288] });
        const bytes = await source.read(0, range);
        expect(Buffer.compare(bytes, file.subarray(range.offset, range.offset + range.byteLength))).toBe(0);
      });
    }
  });
});
