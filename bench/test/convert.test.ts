import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { type GgufSource, openGguf } from "@thermocline/loader-gguf";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { cacheFolderPath } from "../cache-folder.mjs";
import { convertLlama2c } from "../convert-llama2c.mjs";

const models = path.resolve(import.meta.dirname, "../../../shared/data/models");
const hasShared = existsSync(path.join(models, "stories260K.bin"));
if (!hasShared) console.warn("llama2.c conversion against converted files: skipped, ../shared/data is not there");
const cachedStories = path.join(cacheFolderPath(), "stories15M-f32.gguf");
const hasStories = hasShared && existsSync(cachedStories);
if (!hasStories) console.warn("stories15M against its Q8_0 file: skipped, run `node bench/convert-stories15m.mjs` first");

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), "thermocline-convert-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const bytesOf = async (source: GgufSource, name: string) => new Uint8Array(await source.read(0, source.tensors.get(name)!.range));

/** One layer of 4 wide, two heads of 2, tokens as llama2.c names them; every float is its index. */
function smallCheckpoint(vocabularySize: number): Uint8Array {
  const [dim, hidden, layers, heads, kvHeads, length] = [4, 6, 1, 2, 1, 8];
  const sizes = Math.abs(vocabularySize) * dim + 2 * dim + 2 * dim * dim + 2 * 2 * dim + 3 * hidden * dim + dim + length * 2;
  const numFloats = sizes + (vocabularySize < 0 ? -vocabularySize * dim : 0);
  const header = Int32Array.of(dim, hidden, layers, heads, kvHeads, vocabularySize, length);
  const floats = Float32Array.from({ length: numFloats }, (_, index) => index);
  return Buffer.concat([new Uint8Array(header.buffer), new Uint8Array(floats.buffer)]);
}

function smallVocabulary(size: number): Uint8Array {
  const tokens = Array.from({ length: size }, (_, id) => Buffer.from(id < 259 ? `?${id}` : " piece"));
  const entries = tokens.flatMap((token, id) => {
    const head = Buffer.alloc(8);
    head.writeFloatLE(-id, 0);
    head.writeInt32LE(token.length, 4);
    return [head, token];
  });
  return Buffer.concat([Buffer.alloc(4), ...entries]);
}

describe("converting a llama2.c checkpoint", () => {
  const convert = async (name: string, checkpoint: Uint8Array, vocabulary?: Uint8Array) => {
    const target = path.join(folder, name);
    await convertLlama2c({
      path: target,
      name: "small",
      sourceUrl: "https://example.org",
      checkpoint,
      dtype: "f32",
      ...(vocabulary === undefined ? {} : { vocabulary }),
    });
    return target;
  };

  it("takes an unshared classifier from behind the rotary tables", async () => {
    const checkpoint = smallCheckpoint(-260);
    await using source = await openGguf(await convert("unshared.gguf", checkpoint, smallVocabulary(260)));
    const output = new Float32Array((await bytesOf(source, "output.weight")).buffer);
    expect(output.length).toBe(260 * 4);
    expect(output.at(-1)).toBe((checkpoint.length - 28) / 4 - 1);
    await using shared = await openGguf(await convert("shared.gguf", smallCheckpoint(260), smallVocabulary(260)));
    expect(shared.tensors.has("output.weight")).toBe(false);
  });

  it("finds a vocabulary that follows the weights", async () => {
    const joined = Buffer.concat([smallCheckpoint(260), smallVocabulary(260)]);
    await using source = await openGguf(await convert("joined.gguf", joined));
    expect(source.vocabulary?.tokens.slice(0, 5)).toEqual(["<unk>", "<s>", "</s>", "<0x00>", "<0x01>"]);
    expect(source.vocabulary?.tokens[259]).toBe("▁piece");
    expect(source.vocabulary?.scores?.[259]).toBe(-259);
  });

  it("refuses bytes that end early or have no sizes of a model", async () => {
    const checkpoint = smallCheckpoint(260);
    await expect(convert("short.gguf", checkpoint.subarray(0, 400), smallVocabulary(260))).rejects.toMatchObject({
      parameter: "checkpoint",
    });
    await expect(convert("short.gguf", checkpoint, smallVocabulary(200))).rejects.toMatchObject({ parameter: "vocabulary" });
    await expect(convert("short.gguf", new Uint8Array(64), smallVocabulary(260))).rejects.toMatchObject({ parameter: "checkpoint" });
    expect(existsSync(path.join(folder, "short.gguf"))).toBe(false);
  });

  it.runIf(hasShared)("gives the file that another converter gave, tensor by tensor and key by key", async () => {
    const target = path.join(folder, "stories260K.gguf");
    await convertLlama2c({
      path: target,
      name: "stories260K",
      sourceUrl: "https://huggingface.co/karpathy/tinyllamas",
      checkpoint: readFileSync(path.join(models, "stories260K.bin")),
      vocabulary: readFileSync(path.join(models, "tok512.bin")),
      dtype: "f32",
    });
    await using ours = await openGguf(target);
    await using theirs = await openGguf(path.join(models, "stories260K-f32.gguf"));
    expect([...ours.metadata]).toEqual([...theirs.metadata]);
    expect([...ours.metadataTypes]).toEqual([...theirs.metadataTypes]);
    expect([...ours.tensors.keys()].sort()).toEqual([...theirs.tensors.keys()].sort());
    for (const [name, info] of theirs.tensors) {
      expect(ours.tensors.get(name)).toMatchObject({ dtype: info.dtype, shape: info.shape });
      expect(Buffer.compare(await bytesOf(ours, name), await bytesOf(theirs, name)), name).toBe(0);
    }
  });

  it.runIf(hasStories)("gives weights that an independent Q8_0 file of stories15M rounds", async () => {
    await using ours = await openGguf(cachedStories);
    await using theirs = await openGguf(path.join(models, "stories15M-q8_0.gguf"));
    expect([...ours.tensors.keys()].sort()).toEqual([...theirs.tensors.keys()].sort());
    expect(ours.metadata.get("tokenizer.ggml.tokens")).toEqual(theirs.metadata.get("tokenizer.ggml.tokens"));
    expect(ours.metadata.get("tokenizer.ggml.scores")).toEqual(theirs.metadata.get("tokenizer.ggml.scores"));
    let largestSteps = 0;
    for (const [name, info] of theirs.tensors) {
      expect(ours.tensors.get(name)?.shape).toEqual(info.shape);
      const [exact, stored] = [new Float32Array((await bytesOf(ours, name)).buffer), await bytesOf(theirs, name)];
      if (info.dtype === "f32") expect(exact).toEqual(new Float32Array(stored.buffer));
      else largestSteps = Math.max(largestSteps, largestDistanceInSteps(exact, stored));
    }
    // Half a step, and 127 times the relative error of a scale that is stored as a half.
    expect(largestSteps).toBeLessThanOrEqual(0.5 + 127 * 2 ** -11);
    expect(largestSteps).toBeGreaterThan(0.4);
  });
});

/** Of Q8_0 blocks (a half as scale, 32 signed bytes) from exact values, in steps of the block's largest magnitude / 127. */
function largestDistanceInSteps(exact: Float32Array, blocks: Uint8Array): number {
  const view = new DataView(blocks.buffer);
  let largest = 0;
  for (let block = 0; block < exact.length / 32; block++) {
    const bits = view.getUint16(block * 34, true);
    const exponent = (bits >> 10) & 31;
    const scale = exponent === 0 ? (bits & 1023) * 2 ** -24 : (1 + (bits & 1023) / 1024) * 2 ** (exponent - 15);
    const values = exact.subarray(block * 32, block * 32 + 32);
    const step = values.reduce((most, value) => Math.max(most, Math.abs(value)), 0) / 127;
    values.forEach((value, index) => {
      largest = Math.max(largest, Math.abs(view.getInt8(block * 34 + 2 + index) * scale - value) / step);
    });
  }
  return largest;
}
