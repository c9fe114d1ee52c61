/**
 * One measurement of this engine in a process of its own: `node measure-thermocline.mjs '<job as JSON>'` prints the result as JSON.
 * The jobs are described in measurements.d.mts.
 */
import { createEngine } from "@thermocline/core";
import { createCpuBackend } from "@thermocline/cpu-kernels";
import { openGguf } from "@thermocline/loader-gguf";
import { createMemoryLedger } from "@thermocline/spec";
import { processorMsSince } from "./processor-time.mjs";
import { promptOf } from "./prompt.mjs";

/** @typedef {import("./measurements.mjs").Job} Job */
/** @typedef {import("@thermocline/core").LoadedEngine} LoadedEngine */

/**
 * @param {LoadedEngine} engine
 * @param {{ readonly prompt: readonly number[], readonly numTokens: number, readonly logprobs?: number }} request
 * @returns The generated ids, the usage, and for each step the most likely tokens where they are asked for.
 */
async function generate(engine, { prompt, numTokens, logprobs }) {
  const tokenIds = [];
  const steps = [];
  for await (const event of engine.generate({
    prompt,
    maxTokens: numTokens,
    ignoreEos: true,
    sampling: { temperature: 0 },
    ...(logprobs === undefined ? {} : { logprobs }),
  })) {
    if (event.type === "end") return { tokenIds, steps, usage: event.usage };
    tokenIds.push(...event.tokenIds);
    for (const step of event.logprobs ?? []) steps.push(step.top);
  }
  throw new Error("a request ended without its last event");
}

/**
 * Tokens per second between the first and the last token.
 * @param {LoadedEngine} engine
 * @param {readonly number[]} prompt
 * @param {number} numTokens
 */
async function decodeRate(engine, prompt, numTokens) {
  const tokenIds = [];
  let usageAtFirst = process.cpuUsage();
  for await (const event of engine.generate({ prompt, maxTokens: numTokens + 1, ignoreEos: true, sampling: { temperature: 0 } })) {
    if (event.type === "end") {
      const tokensPerSecond = (numTokens / event.usage.decodeMs) * 1000;
      return { tokenIds, tokensPerSecond, processorMsPerToken: processorMsSince(usageAtFirst) / numTokens };
    }
    if (tokenIds.length === 0) usageAtFirst = process.cpuUsage();
    tokenIds.push(...event.tokenIds);
  }
  throw new Error("a request ended without its last event");
}

/**
 * @param {LoadedEngine} engine
 * @param {readonly number[]} prompt
 */
async function prefillRate(engine, prompt) {
  const { usage } = await generate(engine, { prompt, numTokens: 1 });
  return (prompt.length / usage.timeToFirstTokenMs) * 1000;
}

/**
 * All sequences at once, from the moment when the last has its first token.
 * @param {LoadedEngine} engine
 * @param {readonly (readonly number[])[]} prompts
 * @param {number} numTokens
 */
async function togetherRate(engine, prompts, numTokens) {
  let numStarted = 0;
  let startedAtMs = 0;
  let endedAtMs = 0;
  let numCounted = 0;
  await Promise.all(
    prompts.map(async (prompt) => {
      let isFirst = true;
      for await (const event of engine.generate({ prompt, maxTokens: numTokens + 1, ignoreEos: true, sampling: { temperature: 0 } })) {
        if (event.type === "end" || event.tokenIds.length === 0) continue;
        if (isFirst) {
          isFirst = false;
          if (++numStarted === prompts.length) startedAtMs = performance.now();
        } else if (startedAtMs > 0) {
          endedAtMs = performance.now();
          numCounted++;
        }
      }
    }),
  );
  return (numCounted / (endedAtMs - startedAtMs)) * 1000;
}

/** @param {Job} job */
async function measure(job) {
  const source = await openGguf(job.modelPath);
  const backend = createCpuBackend({ threads: job.threads, ...(job.isa === undefined ? {} : { isa: job.isa }) });
  const ledger = createMemoryLedger({ [backend.device.id]: backend.device.totalBytes });
  const startedAtMs = performance.now();
  const engine = await createEngine({
    source,
    backends: [backend],
    ledger,
    contextLength: job.contextLength,
    maxSequences: job.kind === "batch" ? job.numSequences : 1,
    maxBatchTokens: 256,
    // Prompts come twice, and each time they are to be computed.
    prefixCache: false,
  });
  const loadMs = performance.now() - startedAtMs;
  try {
    const { vocabSize } = engine.config;
    await generate(engine, { prompt: promptOf(vocabSize, 16, 99), numTokens: 4 });
    const described = { device: backend.device.name, loadMs };
    switch (job.kind) {
      case "decode": {
        const prompt = promptOf(vocabSize, job.promptTokens, 0);
        return {
          ...described,
          ...(await decodeRate(engine, prompt, job.numTokens)),
          prefillTokensPerSecond: await prefillRate(engine, prompt),
        };
      }
      case "check": {
        const { tokenIds, steps } = await generate(engine, {
          prompt: promptOf(vocabSize, job.promptTokens, 0),
          numTokens: job.numTokens,
          logprobs: 20,
        });
        return { ...described, tokenIds, steps };
      }
      case "batch": {
        const prompts = Array.from({ length: job.numSequences }, (_, sequence) => promptOf(vocabSize, job.promptTokens, sequence));
        return {
          ...described,
          singleTokensPerSecond: (await decodeRate(engine, prompts[0], job.numTokens)).tokensPerSecond,
          togetherTokensPerSecond: await togetherRate(engine, prompts, job.numTokens),
          prefillTokensPerSecond: await prefillRate(engine, promptOf(vocabSize, job.prefillTokens, 50)),
        };
      }
    }
  } finally {
    await engine[Symbol.asyncDispose]();
    await backend[Symbol.asyncDispose]();
    await source[Symbol.asyncDispose]();
  }
}

console.log(JSON.stringify(await measure(JSON.parse(process.argv[2] ?? "{}"))));
