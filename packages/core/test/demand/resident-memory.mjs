/**
 * `node --expose-gc resident-memory.mjs <cases.json>`: for each model what its load and a step at full context add to this process's
 * anonymous memory, beside what its header says, as one line of JSON. Linux only. A case is { path, settings }.
 */
import { readFileSync } from "node:fs";
import { createEmbedder, createEngine, listOffloadUnits, placeOnOneDevice, readModelConfig } from "@thermocline/core";
import { createDemandModel } from "@thermocline/core/demand";
import { createCpuBackend } from "@thermocline/cpu-kernels";
import { openGguf } from "@thermocline/loader-gguf";
import { createMemoryLedger } from "@thermocline/spec";

const cases = JSON.parse(readFileSync(process.argv[2], "utf8"));

/** Bytes in memory that no file backs, after two collections: the first may leave finalizers to run. */
async function anonymousBytes() {
  for (let round = 0; round < 2; round++) {
    globalThis.gc();
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  return Number(/^RssAnon:\s+(\d+) kB$/m.exec(readFileSync("/proc/self/status", "utf8"))[1]) * 1024;
}

async function generate(engine, contextLength) {
  const prompt = Array.from({ length: contextLength - 2 }, (_, index) => 4 + (index % 200));
  let numGenerated = 0;
  for await (const event of engine.generate({ prompt, maxTokens: 2, ignoreEos: true, logprobs: 1, sampling: { temperature: 0 } })) {
    if (event.type === "text-delta") numGenerated += event.tokenIds.length;
  }
  return numGenerated;
}

async function embed(embedder, { contextLength, maxBatchTokens }) {
  const texts = Array.from({ length: maxBatchTokens / contextLength }, () => new Array(contextLength).fill(5));
  return (await embedder.embed(texts)).length;
}

async function measure({ path, settings }) {
  const backend = createCpuBackend({ threads: 2 });
  const source = await openGguf(path);
  const { id } = backend.device;
  const config = readModelConfig(source);
  const placement = placeOnOneDevice(listOffloadUnits(source, config), id);
  const planned = createDemandModel(source).bytesOf([{ id, traits: backend.traits }], settings, placement);
  const options = { source, backends: [backend], ledger: createMemoryLedger({ [id]: 2 ** 34 }), ...settings };
  const isEmbedder = config.pooling !== undefined;
  const before = await anonymousBytes();
  const opened = isEmbedder ? await createEmbedder(options) : await createEngine(options);
  const numResults = isEmbedder ? await embed(opened, settings) : await generate(opened, settings.contextLength);
  const grownBytes = (await anonymousBytes()) - before;
  for (const owned of [opened, backend, source]) await owned[Symbol.asyncDispose]();
  // What only loading takes is given back by now.
  const kept = planned.filter(({ label }) => label !== "weights being loaded");
  return { plannedBytes: kept.reduce((sum, { byteLength }) => sum + byteLength, 0), grownBytes, numResults };
}

const results = [];
// The first load and step compile code, and start threads, that later ones find.
await measure(cases[0]);
for (const one of cases) results.push(await measure(one));
console.log(JSON.stringify(results));
