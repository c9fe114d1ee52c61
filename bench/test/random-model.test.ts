import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { openGguf } from "@thermocline/loader-gguf";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { modelShapes, writeRandomModel } from "../write-random-model.mjs";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), "thermocline-random-model-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const write = async (name: string, options: Omit<Parameters<typeof writeRandomModel>[0], "path">) => {
  const target = path.join(folder, name);
  await writeRandomModel({ path: target, ...options });
  return target;
};
const hashOf = (file: string) => createHash("sha256").update(readFileSync(file)).digest("hex");

describe("a model with random weights", () => {
  it("is the same file for the same seed, and another for another", async () => {
    const first = hashOf(await write("a.gguf", { shape: "tiny", seed: 7 }));
    expect(hashOf(await write("b.gguf", { shape: "tiny", seed: 7 }))).toBe(first);
    expect(hashOf(await write("c.gguf", { shape: "tiny", seed: 8 }))).not.toBe(first);
  });

  it.each(["q4_0", "q8_0", "f16", "f32"] as const)("holds the tensors of its shape as %s, norms as f32", async (dtype) => {
    await using source = await openGguf(await write(`${dtype}.gguf`, { shape: "tiny", dtype }));
    const { hiddenSize, numLayers, intermediateSize, vocabularySize, numHeads, numKvHeads } = modelShapes.tiny;
    expect(source.tensors.size).toBe(3 + 9 * numLayers);
    expect(source.tensors.get("token_embd.weight")).toMatchObject({ dtype, shape: [vocabularySize, hiddenSize] });
    expect(source.tensors.get("blk.1.ffn_down.weight")).toMatchObject({ dtype, shape: [hiddenSize, intermediateSize] });
    expect(source.tensors.get("blk.0.attn_k.weight")).toMatchObject({ dtype, shape: [(hiddenSize / numHeads) * numKvHeads, hiddenSize] });
    expect(source.tensors.get("output_norm.weight")).toMatchObject({ dtype: "f32", shape: [hiddenSize] });
    expect(source.vocabulary?.tokens.length).toBe(vocabularySize);
  });

  it("is a mixture of experts where its shape has some, with a router in f32", async () => {
    const shape = { ...modelShapes.tiny, numExperts: 6, numUsedExperts: 2 };
    await using source = await openGguf(await write("mixture.gguf", { shape }));
    const { hiddenSize, numLayers, intermediateSize } = shape;
    expect(source.metadata.get("llama.expert_used_count")).toBe(2);
    expect(source.tensors.size).toBe(3 + 10 * numLayers);
    expect(source.tensors.get("blk.0.ffn_gate_inp.weight")).toMatchObject({ dtype: "f32", shape: [6, hiddenSize] });
    expect(source.tensors.get("blk.1.ffn_down_exps.weight")).toMatchObject({ dtype: "q4_0", shape: [6, hiddenSize, intermediateSize] });
  });

  it("has values of mean 0 and of the size that keeps activations near 1", async () => {
    await using source = await openGguf(await write("values.gguf", { shape: "tiny", dtype: "f32" }));
    for (const [name, gain] of [
      ["token_embd.weight", Math.sqrt(modelShapes.tiny.hiddenSize)],
      ["blk.0.attn_q.weight", 1],
      ["blk.1.ffn_up.weight", 1],
    ] as const) {
      const info = source.tensors.get(name)!;
      const bytes = new Uint8Array(await source.read(0, info.range));
      const values = new Float32Array(bytes.buffer);
      const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
      const rootMeanSquare = Math.sqrt(values.reduce((sum, value) => sum + value * value, 0) / values.length);
      const expected = gain / Math.sqrt(info.shape[1]!);
      // Five standard errors; of the mean square of uniform values: sqrt(4/5 / n).
      expect(Math.abs(mean)).toBeLessThan((5 * expected) / Math.sqrt(values.length));
      expect(Math.abs((rootMeanSquare / expected) ** 2 - 1)).toBeLessThan(5 * Math.sqrt(0.8 / values.length));
    }
  });

  it("has a vocabulary without repeats, whose pieces are made of shorter ones", async () => {
    await using source = await openGguf(await write("vocabulary.gguf", { shape: { ...modelShapes.tiny, vocabularySize: 32000 } }));
    const { tokens } = source.vocabulary!;
    const known = new Set(tokens);
    expect(known.size).toBe(32000);
    const orphans = tokens.slice(259).filter((token) => [...token].length > 1 && !known.has([...token].slice(0, -1).join("")));
    expect(orphans).toEqual([]);
  });

  it("is refused, by parameter, where no file can hold the shape", async () => {
    const refusal = (changes: object) => write("bad.gguf", { shape: { ...modelShapes.tiny, ...changes } });
    await expect(refusal({ hiddenSize: 250 })).rejects.toMatchObject({ code: "invalid-request", parameter: "hiddenSize" });
    await expect(refusal({ numKvHeads: 3 })).rejects.toMatchObject({ parameter: "numKvHeads" });
    await expect(refusal({ vocabularySize: 100 })).rejects.toMatchObject({ parameter: "vocabularySize" });
    await expect(refusal({ numExperts: 4, numUsedExperts: 5 })).rejects.toMatchObject({ parameter: "numUsedExperts" });
    await expect(refusal({ intermediateSize: 500 })).rejects.toMatchObject({ code: "invalid-request" });
  });
});
