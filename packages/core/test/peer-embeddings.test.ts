import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { cpuBackendAvailability, createCpuBackend, supportedIsas } from "@thermocline/cpu-kernels";
import { createReferenceBackend } from "@thermocline/cpu-kernels/reference";
import { openGguf } from "@thermocline/loader-gguf";
import type { Backend, ModelSource } from "@thermocline/spec";
import { describe, expect, it } from "vitest";
import { createEmbedder } from "../src/index.js";
import { ledgerFor } from "./support/embedded-model.js";
import { fetchedModelPath } from "./support/fetched-models.js";
import { buildRandomBert, type RandomBertOptions } from "./support/random-bert.js";

/** What `bench/record-embeddings.mjs` writes. */
interface PeerEmbeddings {
  readonly options?: RandomBertOptions;
  readonly sha256: string;
  readonly cases: readonly { readonly text?: string; readonly tokenIds: readonly number[]; readonly vector: readonly number[] }[];
}

const readGolden = (name: string) =>
  JSON.parse(readFileSync(resolve(import.meta.dirname, "goldens/embeddings", `${name}.json`), "utf8")) as PeerEmbeddings;
const sha256Of = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");

/** The largest distance of our unit vectors from the peer's. */
async function largestDistance(source: ModelSource, backend: Backend, { cases }: PeerEmbeddings): Promise<number> {
  await using embedder = await createEmbedder({ source, backends: [backend], ledger: ledgerFor(backend) });
  const ids = await embedder.embed(cases.map(({ tokenIds }) => tokenIds));
  const texts = await embedder.embed(cases.map(({ text, tokenIds }) => text ?? tokenIds));
  expect(texts).toEqual(ids);
  return Math.max(...ids.map((vector, index) => Math.hypot(...vector.map((value, element) => value - cases[index]!.vector[element]!))));
}

const native = cpuBackendAvailability();
if (!native.available) console.warn(`peer embeddings on the native kernels skipped: ${native.reasons.join("; ")}`);
const nativeBackends = (native.available ? supportedIsas() : []).map((isa) => [isa, () => createCpuBackend({ isa, threads: 1 })] as const);
const backends: readonly (readonly [name: string, create: () => Backend])[] = [
  ["the reference", () => createReferenceBackend()],
  ...nativeBackends,
];

describe.each(backends)("llama.cpp's embeddings of a random BERT on %s", (name, createBackend) => {
  // llama.cpp takes GELU from a table of halves, so a neuron's input and output are each rounded by up to 2^-11 of themselves. Its layer's
  // norm brings what comes of that back to the scale of the residual stream, once in each of three layers.
  const largestRounding = 3 * 2 ** -10;

  it.each(["mean", "cls"] as const)("pooled by %s: the vectors lie within llama.cpp's own rounding", async (pooling) => {
    const golden = readGolden(`bert-${pooling}`);
    const bytes = buildRandomBert(golden.options!);
    expect(sha256Of(bytes), "the model is not the recorded one").toBe(golden.sha256);
    await using backend = createBackend();
    await using source = await openGguf(new Blob([bytes]));
    const distance = await largestDistance(source, backend, golden);
    console.log(`${name} bert-${pooling}: ${distance.toExponential(2)}`);
    expect(distance).toBeLessThanOrEqual(largestRounding);
  });
});

const miniLm = native.available ? fetchedModelPath("minilm") : undefined;

describe.runIf(miniLm !== undefined)("all-MiniLM-L6-v2", () => {
  // A forward pass in double precision lies up to 4.8e-4 from llama.cpp's vectors, which come of activations rounded to f16. Ours may be as
  // far from it, in another direction.
  const twiceThePeers = 2 * 4.8e-4;

  it("gives the vectors of llama.cpp for texts and for token ids", async () => {
    const golden = readGolden("all-minilm-l6-v2");
    expect(sha256Of(readFileSync(miniLm!)), "the conversion is not the recorded one").toBe(golden.sha256);
    await using backend = createCpuBackend({ threads: 2 });
    await using source = await openGguf(miniLm!);
    const distance = await largestDistance(source, backend, golden);
    console.log(`all-MiniLM-L6-v2: ${distance.toExponential(2)}`);
    expect(distance).toBeLessThanOrEqual(twiceThePeers);
  });
});
