/**
 * `node --expose-gc memory-growth.mjs <model> <contextLength>`: what a model's load and a step at full context add to this process's
 * anonymous memory, beside what the ledger says, as one line of JSON. Linux only.
 */
import { readFileSync } from "node:fs";
import { createEngine, createTokenizer } from "@thermocline/core";
import { createCpuBackend } from "@thermocline/cpu-kernels";
import { openGguf } from "@thermocline/loader-gguf";
import { createMemoryLedger } from "@thermocline/spec";

const [modelPath, contextLengthText] = process.argv.slice(2);
const contextLength = Number(contextLengthText);

/** Bytes in memory that no file backs, after two collections: the first may leave finalizers to run. */
async function measure() {
  for (let round = 0; round < 2; round++) {
    globalThis.gc();
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  const anonymousKilobytes = Number(/^Anonymous:\s+(\d+) kB$/m.exec(readFileSync("/proc/self/smaps_rollup", "utf8"))[1]);
  const { heapTotal, heapUsed, external } = process.memoryUsage();
  return { anonymousBytes: anonymousKilobytes * 1024, heapTotal, heapUsed, external };
}

const started = await measure();
const backend = createCpuBackend({ threads: 2 });
const source = await openGguf(modelPath);
const tokenizer = createTokenizer(source.vocabulary);
const opened = await measure();
const ledger = createMemoryLedger({ [backend.device.id]: 2 ** 34 });
const engine = await createEngine({ source, backends: [backend], ledger, tokenizer, contextLength, maxBatchTokens: 64 });
const loaded = await measure();

// Logprobs run the larger of the two graphs; the last step sees a full context.
const prompt = Array.from({ length: contextLength - 2 }, (_, index) => 260 + ((index * 7919) % 31000));
let numGenerated = 0;
for await (const event of engine.generate({ prompt, maxTokens: 2, ignoreEos: true, logprobs: 1, sampling: { temperature: 0 } })) {
  if (event.type === "text-delta") numGenerated += event.tokenIds.length;
}
const stepped = await measure();
const [{ byteLengthByClass }] = engine.memory();
const allocatedBytes = backend.statistics().allocatedBytes;
await engine[Symbol.asyncDispose]();
const unloaded = await measure();
console.log(
  JSON.stringify({
    started,
    opened,
    loaded,
    stepped,
    unloaded,
    numGenerated,
    byteLengthByClass,
    allocatedBytes,
    allocatedBytesAfterUnload: backend.statistics().allocatedBytes,
    reservationsAfterUnload: ledger.report().length,
  }),
);
await backend[Symbol.asyncDispose]();
await source[Symbol.asyncDispose]();
