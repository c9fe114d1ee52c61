import { cpuBackendAvailability, createCpuBackend, supportedIsas } from "@thermocline/cpu-kernels";
import { createReferenceBackend } from "@thermocline/cpu-kernels/reference";
import { openGguf } from "@thermocline/loader-gguf";
import type { Backend, ModelSource, OffloadUnit, PlacedPart, Placement } from "@thermocline/spec";
import { describe, expect, it } from "vitest";
import { createEmbedder, createEngine, createTokenizer, type EmbedderOptions, listOffloadUnits, readModelConfig } from "../src/index.js";
import { ledgerFor } from "./support/embedded-model.js";
import { f32, u32 } from "./support/random-architectures.js";
import { bertSpecialTokens, buildRandomBert, type RandomBertOptions, randomBertInput } from "./support/random-bert.js";
import { openTinyModel } from "./support/tiny-model.js";

const native = cpuBackendAvailability();
if (!native.available) console.warn(`embeddings on the native kernels skipped: ${native.reasons.join("; ")}`);
const backends: readonly (readonly [name: string, create: () => Backend])[] = [
  ["the reference", () => createReferenceBackend()],
  ...(native.available ? supportedIsas() : []).map((isa) => [isa, () => createCpuBackend({ isa, threads: 2 })] as const),
];

const openBert = (options: Partial<RandomBertOptions> = {}): Promise<ModelSource> =>
  openGguf(new Blob([buildRandomBert({ seed: 1, pooling: "mean", ...options })]));

/** From one token to a context that is full: whole blocks, a token over, a token under. */
const inputs = [1, 2, 30, 31, 61, 126].map((numWords) => randomBertInput(numWords, numWords));

async function embed(
  source: ModelSource,
  devices: readonly Backend[],
  texts: readonly (readonly number[])[],
  options: Partial<EmbedderOptions> = {},
): Promise<readonly Float32Array[]> {
  const diagnostics = { poisonDeadActivations: true };
  await using embedder = await createEmbedder({ source, backends: devices, ledger: ledgerFor(...devices), diagnostics, ...options });
  return await embedder.embed(texts);
}

const distance = (a: Float32Array, b: Float32Array) => Math.hypot(...a.map((element, index) => element - b[index]!));
const numLayers = 3;

/**
 * Keys and values are rounded to f16 by the kernels, by 2^-10 / √12 of themselves in the root mean square, and stay in f32 in the oracle:
 * two roundings a layer, whose errors add in quadrature. Of a few dozen distances none is expected beyond five deviations.
 */
const roundingBound = 5 * (2 ** -10 / Math.sqrt(12)) * Math.sqrt(2 * numLayers);

const exactVectors = new Map<RandomBertOptions["pooling"], Promise<readonly Float32Array[]>>();

/** The oracle's vectors of the inputs, computed once. */
function exactVectorsOf(pooling: RandomBertOptions["pooling"]): Promise<readonly Float32Array[]> {
  const compute = async () => {
    await using source = await openBert({ pooling });
    await using oracle = createReferenceBackend();
    return await embed(source, [oracle], inputs);
  };
  if (!exactVectors.has(pooling)) exactVectors.set(pooling, compute());
  return exactVectors.get(pooling)!;
}

describe.each(backends)("an embedder on %s", (_, createBackend) => {
  it.each(["mean", "cls", "last"] as const)("pooled by %s gives unit vectors, the oracle's to rounding", async (pooling) => {
    const exact = await exactVectorsOf(pooling);
    await using source = await openBert({ pooling });
    await using backend = createBackend();
    const vectors = await embed(source, [backend], inputs);
    vectors.forEach((vector, index) => {
      expect(Math.hypot(...vector)).toBeCloseTo(1, 5);
      expect(distance(vector, exact[index]!)).toBeLessThanOrEqual(roundingBound);
      // Another text's vector would not do.
      if (index > 0) expect(distance(vector, exact[index - 1]!)).toBeGreaterThan(10 * roundingBound);
    });
  });

  it("gives the same bits for a text alone and among others", async () => {
    await using source = await openBert();
    await using backend = createBackend();
    const short = inputs.slice(0, 5);
    const together = await embed(source, [backend], short, { maxBatchTokens: 200 });
    const inSmallSteps = await embed(source, [backend], [...short].reverse(), { maxBatchTokens: 128, maxSequences: 3 });
    expect(inSmallSteps).toEqual([...together].reverse());
    for (const [index, input] of short.entries()) expect(await embed(source, [backend], [input])).toEqual([together[index]]);
  });

  it("sees the whole text from every token", async () => {
    await using source = await openBert({ pooling: "cls" });
    await using backend = createBackend();
    const words = randomBertInput(40, 5);
    const changed = words.with(40, words[40] === 200 ? 201 : 200);
    const [first, second] = await embed(source, [backend], [words, changed]);
    expect(distance(first!, second!)).toBeGreaterThan(1e-3);
  });
});

/** Neurons dealt out in halves, attention from layer to layer, the ends of the model apart. */
function splitPlacement(source: ModelSource, [home, other]: readonly [string, string]): Placement {
  const partsOf = (unit: OffloadUnit): readonly PlacedPart[] => {
    const half = (unit.rows?.count ?? 0) / 2;
    if (unit.rows === undefined) return [{ device: unit.kind === "head" || unit.layer % 2 === 1 ? other : home }];
    return [
      { device: other, rows: [[0, half]] },
      { device: home, rows: [[half, half]] },
    ];
  };
  return new Map(listOffloadUnits(source, readModelConfig(source)).map((unit) => [unit.id, partsOf(unit)]));
}

describe("an embedder", () => {
  it("split over two devices gives the vectors of one", async () => {
    await using source = await openBert();
    await using home = createReferenceBackend({ id: "device:0" });
    await using other = createReferenceBackend({ id: "device:1" });
    const short = inputs.slice(0, 4);
    const whole = await embed(source, [home], short);
    const placement = splitPlacement(source, [home.device.id, other.device.id]);
    const split = await embed(source, [home, other], short, { placement });
    // One sum of a layer in another order, in f32.
    split.forEach((vector, index) => void expect(distance(vector, whole[index]!)).toBeLessThan(numLayers * 2 ** -20));
    expect(other.statistics().submissions).toBeGreaterThan(0);
  });

  it("pools a single token to the same vector in every way", async () => {
    await using backend = createReferenceBackend();
    const vectors: (readonly Float32Array[])[] = [];
    for (const pooling of ["mean", "cls", "last"] as const) {
      await using source = await openBert({ pooling });
      vectors.push(await embed(source, [backend], [[200], [200, 201]]));
    }
    const [mean, cls, last] = vectors as [readonly Float32Array[], readonly Float32Array[], readonly Float32Array[]];
    expect(cls[0]).toEqual(mean[0]);
    expect(last[0]).toEqual(mean[0]);
    expect(distance(cls[1]!, last[1]!)).toBeGreaterThan(1e-2);
  });

  it("puts the vocabulary's special tokens around texts, and takes token ids as they are", async () => {
    await using source = await openBert();
    await using backend = createReferenceBackend();
    await using embedder = await createEmbedder({ source, backends: [backend], ledger: ledgerFor(backend) });
    const text = source.vocabulary!.tokens[104]!.replace("▁", "");
    const words = createTokenizer(source.vocabulary!).encode(text);
    const [ofText, ofIds, ofWords] = await embedder.embed([
      text,
      Uint32Array.of(bertSpecialTokens.cls, ...words, bertSpecialTokens.sep),
      words,
    ]);
    expect(ofText).toEqual(ofIds);
    expect(ofWords).not.toEqual(ofIds);
    expect(embedder.dimension).toBe(64);
    expect(ofText).toHaveLength(64);
  });

  it("packs as many texts into a step as fit", async () => {
    await using source = await openBert();
    await using backend = createReferenceBackend();
    const texts = Array.from({ length: 7 }, (_, index) => randomBertInput(8, index));
    const stepsOf = async (options: Partial<EmbedderOptions>) => {
      const before = backend.statistics().submissions;
      await embed(source, [backend], texts, { contextLength: 16, ...options });
      return backend.statistics().submissions - before;
    };
    expect(await stepsOf({})).toBe(1);
    expect(await stepsOf({ maxBatchTokens: 32 })).toBe(3);
    expect(await stepsOf({ maxSequences: 2 })).toBe(4);
    expect(await embed(source, [backend], [])).toEqual([]);
  });

  it("serves calls that overlap, and ends one without the others", async () => {
    await using source = await openBert();
    await using backend = createReferenceBackend();
    await using embedder = await createEmbedder({ source, backends: [backend], ledger: ledgerFor(backend), maxSequences: 1 });
    const abort = new AbortController();
    const first = embedder.embed(inputs.slice(0, 2));
    const left = embedder.embed(inputs, { signal: abort.signal });
    const last = embedder.embed(inputs.slice(0, 2));
    await first;
    setTimeout(() => abort.abort(new Error("enough")), 1);
    await expect(left).rejects.toThrow("enough");
    expect(await last).toEqual(await first);
    await expect(embedder.embed(inputs, { signal: AbortSignal.abort(new Error("before")) })).rejects.toThrow("before");
  });

  it("refuses inputs that it cannot embed, by name", async () => {
    await using source = await openBert();
    await using backend = createReferenceBackend();
    await using embedder = await createEmbedder({ source, backends: [backend], ledger: ledgerFor(backend), contextLength: 16 });
    const refused = (inputsToTry: Parameters<typeof embedder.embed>[0], parameter: string) =>
      expect(embedder.embed(inputsToTry)).rejects.toThrow(expect.objectContaining({ code: "invalid-request", parameter }));
    await refused([[200], ""], "inputs[1]");
    await refused([[]], "inputs[0]");
    await refused([randomBertInput(15, 1)], "inputs[0]");
    await refused([[100_000]], "inputs[0]");
    await refused([null as unknown as string], "inputs[0]");
    expect(await embedder.embed([randomBertInput(14, 1)])).toHaveLength(1);
  });

  it("gives all memory back, and nothing more once it is disposed of", async () => {
    await using source = await openBert();
    await using backend = createReferenceBackend();
    const ledger = ledgerFor(backend);
    const embedder = await createEmbedder({ source, backends: [backend], ledger });
    const [report] = embedder.memory();
    const reserved = ledger.report().reduce((sum, { byteLength }) => sum + byteLength, 0);
    expect(Object.values(report!.byteLengthByClass).reduce((sum, byteLength) => sum + byteLength, 0)).toBe(reserved);
    await embedder[Symbol.asyncDispose]();
    expect(ledger.report()).toEqual([]);
    expect(backend.statistics().allocatedBytes).toBe(0);
    await expect(embedder.embed([[200]])).rejects.toThrow(expect.objectContaining({ parameter: "embedder" }));
  });

  it.each<[string, Partial<EmbedderOptions>]>([
    ["contextLength", { contextLength: 129 }],
    ["maxBatchTokens", { maxBatchTokens: 64 }],
    ["maxSequences", { maxSequences: 0 }],
    ["backends", { backends: [] }],
  ])("refuses a %s that cannot be", async (parameter, options) => {
    await using source = await openBert();
    await using backend = createReferenceBackend();
    await expect(createEmbedder({ source, backends: [backend], ledger: ledgerFor(backend), ...options })).rejects.toThrow(
      expect.objectContaining({ code: "invalid-request", parameter }),
    );
  });

  it.each<[string, RandomBertOptions["keys"]]>([
    ["pooling_type", { pooling_type: u32(0) }],
    ["pooling_type", { pooling_type: u32(4) }],
    ["pooling_type", { pooling_type: undefined }],
    ["attention.causal", { "attention.causal": true }],
    ["attention.head_count", { "attention.head_count": u32(5) }],
    ["attention.head_count_kv", { "attention.head_count_kv": u32(2) }],
    ["attention.layer_norm_epsilon", { "attention.layer_norm_epsilon": f32(-1) }],
    ["rope.freq_base", { "rope.freq_base": f32(10_000) }],
  ])("refuses a file whose %s the graph lacks", async (key, keys) => {
    await using source = await openBert({ keys });
    expect(() => readModelConfig(source)).toThrow(expect.objectContaining({ code: "unsupported-model", feature: `bert.${key}` }));
  });

  it("refuses a file with other positions than its context has", async () => {
    await using source = await openBert({ keys: { context_length: u32(256) } });
    expect(() => readModelConfig(source)).toThrow(expect.objectContaining({ code: "invalid-tensor", tensor: "position_embd.weight" }));
  });

  it("is not made of a model that generates, nor an engine of one that embeds", async () => {
    await using backend = createReferenceBackend();
    await using generating = await openTinyModel();
    await expect(createEmbedder({ source: generating, backends: [backend], ledger: ledgerFor(backend) })).rejects.toThrow(
      expect.objectContaining({ code: "unsupported-model" }),
    );
    await using embedding = await openBert();
    await expect(createEngine({ source: embedding, backends: [backend], ledger: ledgerFor(backend) })).rejects.toThrow(
      /makes vectors of texts/,
    );
  });
});
