/**
 * Perplexity against the peer on the same windows: this engine and llama.cpp each score the same token ids.
 *
 *   node bench/perplexity.mjs [--model FILE] [--text FILE] [--tokens 20000] [--context 512] [--threads 2] [--isa NAME] [--json]
 *     [--peer-tool PROGRAM]
 *
 * Windows as llama.cpp's own tool cuts them: the text is tokenised once with BOS, cut into windows of `--context` tokens, each begins with BOS
 * in place of its first token, and the second half of a window is scored. Figures are kept in the cache folder, window by window, those of
 * this engine for as long as its build stays the same, so that a run that was broken off goes on. With `--peer-tool` llama.cpp's own
 * `llama-perplexity` measures too: with its BLAS backend in single precision, which tells its rounding of activations from our errors. Exits
 * with 1 where our perplexity differs by more than 0.5 % from the tool's, or, without it, from the peer's.
 */
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import path from "node:path";
import { parseArgs } from "node:util";
import { createEngine, createTokenizer } from "@thermocline/core";
import { createCpuBackend } from "@thermocline/cpu-kernels";
import { openGguf } from "@thermocline/loader-gguf";
import { createMemoryLedger, InvalidRequestError } from "@thermocline/spec";
import { cacheFolder } from "./cache-folder.mjs";
import { runAsCommand } from "./command-line.mjs";
import { fetchModel } from "./fetch-models.mjs";
import { buildIdentity, machineConditions } from "./machine.mjs";
import { measureWithTool } from "./peer-perplexity.mjs";
import { openPeerSession } from "./peer-session.mjs";
import { createProgressBar } from "./progress-bar.mjs";

const largestDifference = 0.005;
const defaultText = path.resolve(import.meta.dirname, "../../shared/data/wikitext-2-test.txt");

/** @typedef {{ readonly tokenIds: readonly number[], readonly firstPosition: number }} Window */

/**
 * @param {readonly number[]} tokenIds Without BOS.
 * @param {number} bos
 * @param {number} contextLength
 * @returns {Window[]}
 */
export function cutWindows(tokenIds, bos, contextLength) {
  const all = [bos, ...tokenIds];
  const numWindows = Math.floor(all.length / contextLength);
  return Array.from({ length: numWindows }, (_, index) => ({
    tokenIds: [bos, ...all.slice(index * contextLength + 1, (index + 1) * contextLength)],
    firstPosition: contextLength >> 1,
  }));
}

/** @param {readonly (readonly number[])[]} logprobs By window. */
export function perplexityOf(logprobs) {
  const flat = logprobs.flat();
  return Math.exp(-flat.reduce((sum, value) => sum + value, 0) / flat.length);
}

/**
 * Log-probabilities of the tokens after `firstPosition`, by window: from the cache folder as far as it has them, and kept there.
 * @param {string} engine Who scores.
 * @param {readonly string[]} key What else the figures depend on, beside the windows.
 * @param {readonly Window[]} windows
 * @param {(window: Window) => Promise<readonly number[]>} score
 */
async function scoreWindows(engine, key, windows, score) {
  const hash = createHash("sha256").update(JSON.stringify([engine, ...key, windows]));
  const file = path.join(cacheFolder(), `perplexity-${hash.digest("hex").slice(0, 16)}.json`);
  /** @type {(readonly number[])[]} */
  const scored = existsSync(file) ? JSON.parse(await readFile(file, "utf8")) : [];
  const bar = createProgressBar(engine, windows.length, "windows");
  for (const window of windows.slice(scored.length)) {
    scored.push(await score(window));
    await writeFile(`${file}.partial`, JSON.stringify(scored));
    await rename(`${file}.partial`, file);
    bar.advance(scored.length);
  }
  bar.end();
  return { engine, logprobs: scored };
}

/**
 * @param {string} modelPath
 * @param {string} identity Of the model.
 * @param {readonly Window[]} windows
 * @param {{ readonly contextLength: number, readonly threads: number, readonly isa: ReturnType<typeof import("@thermocline/cpu-kernels").supportedIsas>[number] | undefined }} options
 */
async function scoreOurs(modelPath, identity, windows, { contextLength, threads, isa }) {
  const source = await openGguf(modelPath);
  const backend = createCpuBackend({ threads, ...(isa === undefined ? {} : { isa }) });
  const ledger = createMemoryLedger({ [backend.device.id]: 2 ** 33 });
  const engine = await createEngine({ source, backends: [backend], ledger, contextLength, maxScoredTokens: 64, prefixCache: false });
  // Threads change no bit.
  const name = backend.device.name.replace(/, \d+ threads?/, "");
  const scored = await scoreWindows(name, [buildIdentity(), identity], windows, async ({ tokenIds, firstPosition }) => {
    const logprobs = [];
    for await (const { position, logits } of engine.score({ tokenIds: tokenIds.slice(0, -1), firstPosition }))
      logprobs.push(logprobOf(logits, /** @type {number} */ (tokenIds[position + 1])));
    return logprobs;
  });
  for (const owned of [engine, backend, source]) await owned[Symbol.asyncDispose]();
  return scored;
}

/**
 * In double precision.
 * @param {Float32Array} logits
 * @param {number} tokenId
 */
function logprobOf(logits, tokenId) {
  const largest = logits.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  const sum = logits.reduce((total, logit) => total + Math.exp(logit - largest), 0);
  return /** @type {number} */ (logits[tokenId]) - largest - Math.log(sum);
}

/**
 * @param {string} modelPath
 * @param {string} identity Of the model.
 * @param {readonly Window[]} windows
 * @param {{ readonly contextLength: number, readonly threads: number }} options
 */
async function scorePeer(modelPath, identity, windows, { contextLength, threads }) {
  const peer = await openPeerSession(modelPath, { contextLength, threads });
  if (peer === undefined) return undefined;
  const scored = await scoreWindows(peer.engine, [identity], windows, ({ tokenIds, firstPosition }) =>
    peer.nextLogprobs(tokenIds, firstPosition),
  );
  await peer[Symbol.asyncDispose]();
  return scored;
}

await runAsCommand(import.meta.url, async () => {
  const { values } = parseArgs({
    options: {
      model: { type: "string" },
      text: { type: "string", default: defaultText },
      tokens: { type: "string", default: "20000" },
      context: { type: "string", default: "512" },
      threads: { type: "string", default: "2" },
      isa: { type: "string" },
      "peer-only": { type: "boolean", default: false },
      "peer-tool": { type: "string" },
      json: { type: "boolean", default: false },
    },
  });
  if (!existsSync(values.text)) throw new InvalidRequestError("--text", values.text, `${values.text} is not there`, "name a text file");
  const modelPath = values.model ?? (await fetchModel("tinyllama"));
  const text = await readFile(values.text, "utf8");
  const [contextLength, threads, numTokens] = [Number(values.context), Number(values.threads), Number(values.tokens)];
  const source = await openGguf(modelPath);
  await source[Symbol.asyncDispose]();
  const bos = source.vocabulary?.special.bos;
  if (source.vocabulary === undefined || bos === undefined)
    throw new InvalidRequestError("--model", modelPath, `${modelPath} has no BOS to begin a window with`, "use another model");
  // Tokens of more text than is needed: what is cut off cannot change those before it but at the very end.
  const tokenIds = createTokenizer(source.vocabulary)
    .encode(text.slice(0, numTokens * 8))
    .slice(0, numTokens - 1);
  const windows = cutWindows(tokenIds, bos, contextLength);
  const theirs = await scorePeer(modelPath, source.identity, windows, { contextLength, threads });
  const tool =
    values["peer-tool"] === undefined
      ? undefined
      : await measureWithTool(values["peer-tool"], {
          modelPath,
          identity: source.identity,
          textPath: values.text,
          numWindows: windows.length,
          contextLength,
          threads,
        });
  if (values["peer-only"]) {
    console.log(theirs === undefined ? "no peer" : `${theirs.engine}: ${perplexityOf(theirs.logprobs)}`);
    if (tool !== undefined) console.log(`${tool.engine}: ${tool.perplexities.at(-1)}`);
    return;
  }
  const isa = /** @type {ReturnType<typeof import("@thermocline/cpu-kernels").supportedIsas>[number] | undefined} */ (values.isa);
  const ours = await scoreOurs(modelPath, source.identity, windows, { contextLength, threads, isa });
  const report = {
    conditions: { ...machineConditions(), buildSha256: buildIdentity() },
    model: path.basename(modelPath),
    text: { file: path.basename(values.text), sha256: createHash("sha256").update(text).digest("hex"), tokens: tokenIds.length + 1 },
    windows: { count: windows.length, contextLength, scoredTokens: ours.logprobs.flat().length },
    ours: { engine: ours.engine, perplexity: perplexityOf(ours.logprobs) },
    ...(theirs === undefined ? {} : compare(ours, theirs)),
    ...(tool === undefined ? {} : { tool: compareWithTool(ours, tool) }),
  };
  console.log(JSON.stringify(report, undefined, 2));
  if (values.json) {
    const folder = path.join(import.meta.dirname, "results");
    await mkdir(folder, { recursive: true });
    await writeFile(path.join(folder, "perplexity-tinyllama.json"), `${JSON.stringify(report, undefined, 2)}\n`);
  }
  const judged = report.tool?.relativeDifference ?? ("relativeDifference" in report ? Number(report.relativeDifference) : undefined);
  if (judged !== undefined && !(Math.abs(judged) <= largestDifference)) process.exitCode = 1;
});

/**
 * @param {{ readonly logprobs: readonly (readonly number[])[] }} ours
 * @param {{ readonly engine: string, readonly logprobs: readonly (readonly number[])[] }} theirs
 */
function compare(ours, theirs) {
  const [mine, other] = [ours.logprobs.flat(), theirs.logprobs.flat()];
  const signed = mine.map((value, index) => value - /** @type {number} */ (other[index]));
  const mean = signed.reduce((sum, value) => sum + value, 0) / signed.length;
  const variance = signed.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (signed.length - 1);
  const perplexity = perplexityOf(theirs.logprobs);
  return {
    theirs: { engine: theirs.engine, perplexity },
    relativeDifference: perplexityOf(ours.logprobs) / perplexity - 1,
    /** Of the relative difference, from the token's own differences. */
    standardError: Math.sqrt(variance / signed.length),
    /** Of single log-probabilities, absolute. */
    meanDifference: signed.reduce((sum, value) => sum + Math.abs(value), 0) / signed.length,
  };
}

/**
 * @param {{ readonly logprobs: readonly (readonly number[])[] }} ours
 * @param {import("./peer-perplexity.mjs").ToolFigures} tool
 */
function compareWithTool(ours, { engine, perplexities }) {
  const perplexity = /** @type {number} */ (perplexities.at(-1));
  return { engine, perplexity, relativeDifference: perplexityOf(ours.logprobs) / perplexity - 1 };
}
