/** One measurement of llama.cpp in a process of its own: `node measure-llama-cpp.mjs <module> '<job as JSON>'` prints a DecodeResult. */
import { pathToFileURL } from "node:url";
import { processorMsSince } from "./processor-time.mjs";
import { promptOf } from "./prompt.mjs";

const [moduleFile, jobText] = process.argv.slice(2);
/** @type {import("./measurements.mjs").Job} */
const job = JSON.parse(jobText);
const { getLlama } = await import(pathToFileURL(moduleFile).href);

const llama = await getLlama({
  gpu: false,
  build: "never",
  skipDownload: true,
  logLevel: "error",
  progressLogs: false,
  maxThreads: job.threads,
});
const startedAtMs = performance.now();
const model = await llama.loadModel({ modelPath: job.modelPath, gpuLayers: 0 });
const context = await model.createContext({
  contextSize: job.contextLength,
  batchSize: 256,
  threads: { ideal: job.threads, min: job.threads },
});
const loadMs = performance.now() - startedAtMs;
const sequence = context.getSequence();
const vocabSize = model.fileInfo.metadata.llama.vocab_size;

/**
 * @param {readonly number[]} prompt
 * @param {number} numTokens
 */
async function decode(prompt, numTokens) {
  await sequence.clearHistory();
  const tokenIds = [];
  const promptStartedAtMs = performance.now();
  let firstAtMs = 0;
  let lastAtMs = 0;
  let usageAtFirst = process.cpuUsage();
  for await (const token of sequence.evaluate([...prompt], { temperature: 0, yieldEogTokens: true })) {
    tokenIds.push(token);
    lastAtMs = performance.now();
    if (tokenIds.length === 1) {
      firstAtMs = lastAtMs;
      usageAtFirst = process.cpuUsage();
    }
    if (tokenIds.length > numTokens) break;
  }
  return {
    tokenIds,
    processorMsPerToken: processorMsSince(usageAtFirst) / numTokens,
    tokensPerSecond: (numTokens / (lastAtMs - firstAtMs)) * 1000,
    prefillTokensPerSecond: (prompt.length / (firstAtMs - promptStartedAtMs)) * 1000,
  };
}

await decode(promptOf(vocabSize, 16, 99), 4);
const result = await decode(promptOf(vocabSize, job.promptTokens, 0), job.numTokens);
const device = `llama.cpp ${llama.llamaCppRelease.release}, ${context.currentThreads} threads`;
console.log(JSON.stringify({ device, loadMs, ...result }));
await llama.dispose();
