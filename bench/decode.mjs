/**
 * Speed against the peer in one run: this engine's CPU backend and llama.cpp decode the same file in turns, in processes of their own.
 *
 *   node bench/decode.mjs [--shape 1.1b] [--rounds 3] [--tokens 48] [--json]
 *
 * Checks the results before it times anything. Exits with 1 where a check fails or, on the 1.1b shape, a bar is missed.
 */
import { execFile } from "node:child_process";
import { mkdir, writeFile } from "node:fs/promises";
import path from "node:path";
import { parseArgs, promisify } from "node:util";
import { supportedIsas } from "@thermocline/cpu-kernels";
import { openGguf } from "@thermocline/loader-gguf";
import { InvalidRequestError, ThermoclineError } from "@thermocline/spec";
import { runAsCommand } from "./command-line.mjs";
import { compareGreedyText } from "./greedy-text.mjs";
import { buildIdentity, loadAverage, machineConditions, machineName } from "./machine.mjs";
import { installPeer, peerVersion } from "./peer.mjs";
import { modelShapes, randomModelPath } from "./write-random-model.mjs";

/** @typedef {import("./measurements.mjs").Job} Job */
/** @typedef {import("./measurements.mjs").DecodeResult} DecodeResult */
/** @typedef {import("./measurements.mjs").CheckResult} CheckResult */
/** @typedef {import("./measurements.mjs").BatchResult} BatchResult */

const run = promisify(execFile);
const folder = import.meta.dirname;

class MeasurementFailedError extends ThermoclineError {
  /** @readonly */
  code = "measurement-failed";
}

/**
 * Runs a measuring process to its end and gives what it printed last.
 * @param {string} script
 * @param {readonly string[]} args
 */
async function measureApart(script, args) {
  try {
    const { stdout } = await run(process.execPath, [path.join(folder, script), ...args], { maxBuffer: 1 << 26, timeout: 600_000 });
    return JSON.parse(/** @type {string} */ (stdout.trim().split("\n").at(-1)));
  } catch (error) {
    const { stderr, message } = /** @type {Error & { stderr?: string }} */ (error);
    throw new MeasurementFailedError(
      `${script} failed: ${(stderr || message).trim().split("\n").slice(-8).join("\n")}`,
      "see what it says",
      {
        cause: error,
      },
    );
  }
}

/** @param {readonly number[]} values */
function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/**
 * Medians of each field over rounds, the rounds beside them.
 * @template {Record<string, unknown>} Result
 * @param {readonly Result[]} results
 */
function summarize(results) {
  /** @type {Record<string, { readonly median: number, readonly rounds: readonly number[] }>} */
  const summary = {};
  for (const name of Object.keys(results[0])) {
    const rounds = results.map((result) => result[name]).filter((value) => typeof value === "number");
    if (rounds.length > 0) summary[name] = { median: median(rounds), rounds };
  }
  return { device: results[0].device, ...summary };
}

/**
 * Runs every cell once a round, one after the other, so that a slow minute of the machine falls on all of them.
 * @param {number} rounds
 * @param {Readonly<Record<string, () => Promise<any>>>} cells
 * @returns {Promise<Record<string, any>>} Summaries by cell.
 */
async function measureInTurns(rounds, cells) {
  /** @type {Record<string, any[]>} */
  const results = Object.fromEntries(Object.keys(cells).map((name) => [name, []]));
  for (let round = 0; round < rounds; round++) {
    for (const [name, measure] of Object.entries(cells)) {
      const result = await measure();
      results[name].push(result);
      const rates = Object.entries(result).filter(([field]) => field.endsWith("PerSecond"));
      console.error(`round ${round + 1}, ${name}: ${rates.map(([field, value]) => `${field} ${value.toFixed(2)}`).join(", ")}`);
    }
  }
  return Object.fromEntries(Object.entries(results).map(([name, rounds]) => [name, summarize(rounds)]));
}

/**
 * @param {{ readonly shape: keyof typeof modelShapes, readonly rounds: number, readonly numTokens: number, readonly promptTokens: number,
 *   readonly threads: readonly number[] }} options
 */
export async function measureDecode({ shape, rounds, numTokens, promptTokens, threads }) {
  const modelPath = await randomModelPath(shape);
  const conditions = { ...machineConditions(), buildSha256: buildIdentity(), loadAverageAtStart: loadAverage() };
  const base = { modelPath, contextLength: 512, promptTokens, numTokens };
  /** @param {Job} job */
  const ours = (job) => measureApart("measure-thermocline.mjs", [JSON.stringify(job)]);
  const isas = supportedIsas();
  const vectorIsa = isas.includes("avx2") ? /** @type {const} */ ("avx2") : undefined;

  /** @type {Record<string, CheckResult>} */
  const texts = {};
  for (const isa of isas) texts[isa] = await ours({ ...base, kind: "check", isa, threads: 1, promptTokens: 8, numTokens: 4 });
  const checks = isas.slice(0, -1).map((isa) => {
    const other = isas[isas.length - 1];
    const comparison = compareGreedyText(texts[isa], texts[other]);
    if (!comparison.isSame)
      throw new MeasurementFailedError(
        `${isa} and ${other} give different text: ${JSON.stringify(comparison)}`,
        "find the kernel that differs",
      );
    return { compared: [isa, other], ...comparison };
  });

  const peer = await installPeer();
  /** @type {Record<string, () => Promise<DecodeResult>>} */
  const decodeCells = {};
  for (const count of threads) {
    const job = /** @type {const} */ ({ ...base, kind: "decode", threads: count });
    decodeCells[`thermocline, ${count} threads`] = () => ours(job);
    if (peer !== undefined)
      decodeCells[`llama.cpp, ${count} threads`] = () => measureApart("measure-llama-cpp.mjs", [peer, JSON.stringify(job)]);
  }
  /** @type {Record<string, readonly number[]>} */
  const firstTexts = {};
  const keepText = Object.fromEntries(
    Object.entries(decodeCells).map(([name, measure]) => [
      name,
      async () => {
        const result = await measure();
        firstTexts[name] ??= result.tokenIds;
        return result;
      },
    ]),
  );
  const decode = await measureInTurns(rounds, keepText);

  const isaJob = /** @type {const} */ ({ ...base, kind: "decode", threads: 1, promptTokens: 8, numTokens: 8 });
  const instructionSets =
    vectorIsa === undefined
      ? {}
      : await measureInTurns(rounds, {
          [vectorIsa]: () => ours({ ...isaJob, isa: vectorIsa }),
          scalar: () => ours({ ...isaJob, isa: "scalar" }),
        });
  const mostThreads = Math.max(...threads);
  const batch = await measureInTurns(rounds, {
    batch: () =>
      ours({ ...base, kind: "batch", threads: mostThreads, promptTokens: 16, numTokens: 24, numSequences: 16, prefillTokens: 256 }),
  });

  if (buildIdentity() !== conditions.buildSha256)
    throw new MeasurementFailedError("the packages were built again while they were measured", "measure again and leave them alone");

  const names = Object.keys(firstTexts);
  const equalTokensWithPeer = peer === undefined ? undefined : commonPrefix(firstTexts[names[0]], firstTexts[names[1]]);
  return {
    conditions: { ...conditions, loadAverageAtEnd: loadAverage() },
    model: { shape, dtype: "q4_0", ...(await byteLengthsOf(modelPath)) },
    settings: { rounds, promptTokens, numTokens, contextLength: 512 },
    peer: peer === undefined ? undefined : { package: `node-llama-cpp@${peerVersion}`, equalTokens: equalTokensWithPeer },
    checks,
    decode,
    instructionSets,
    batch: batch.batch,
    bars: judge({ threads, decode, instructionSets, batch: batch.batch, hasPeer: peer !== undefined, vectorIsa }),
  };
}

/**
 * Of the file, and of the weights that every decoded token reads: all but the embedding, of which it reads a row.
 * @param {string} modelPath
 */
async function byteLengthsOf(modelPath) {
  const source = await openGguf(modelPath);
  const readPerToken = [...source.tensors.values()].reduce(
    (sum, { name, range }) => sum + (name.startsWith("token_embd") ? 0 : range.byteLength),
    0,
  );
  await source[Symbol.asyncDispose]();
  return { byteLength: source.fileByteLength, byteLengthPerToken: readPerToken };
}

/**
 * @param {readonly number[]} a
 * @param {readonly number[]} b
 */
function commonPrefix(a, b) {
  const parted = a.findIndex((tokenId, index) => tokenId !== b[index]);
  return parted < 0 ? a.length : parted;
}

/**
 * Ratios and the least that each must reach. A ratio is the median of the rounds' own, since the two cells of a round ran side by side.
 * @param {{ readonly threads: readonly number[], readonly decode: any, readonly instructionSets: any, readonly batch: any,
 *   readonly hasPeer: boolean, readonly vectorIsa: string | undefined }} measured
 */
function judge({ threads, decode, instructionSets, batch, hasPeer, vectorIsa }) {
  /** @type {{ readonly name: string, readonly ratio: number, readonly least: number, readonly holds: boolean }[]} */
  const bars = [];
  /** @param {string} name @param {any} cell @param {any} other @param {number} least */
  const add = (name, cell, other, least) => {
    const ratio = median(cell.rounds.map((/** @type {number} */ value, /** @type {number} */ round) => value / other.rounds[round]));
    bars.push({ name, ratio, least, holds: ratio >= least });
  };
  for (const count of hasPeer ? threads : []) {
    const [cell, peer] = [decode[`thermocline, ${count} threads`], decode[`llama.cpp, ${count} threads`]];
    add(`decode with ${count} threads over llama.cpp's`, cell.tokensPerSecond, peer.tokensPerSecond, 0.5);
  }
  if (vectorIsa !== undefined)
    add("AVX2 over scalar decode", instructionSets[vectorIsa].tokensPerSecond, instructionSets.scalar.tokensPerSecond, 3);
  add("16 sequences together over one", batch.togetherTokensPerSecond, batch.singleTokensPerSecond, 2);
  add("prefill of 256 tokens over decode", batch.prefillTokensPerSecond, batch.singleTokensPerSecond, 4);
  return bars;
}

/** @param {Awaited<ReturnType<typeof measureDecode>>} report */
function print({ conditions, model, decode, instructionSets, batch, bars, checks, peer }) {
  console.log(`${conditions.cpu}, ${conditions.threads} threads, Node ${conditions.node}, commit ${conditions.commit.slice(0, 12)}`);
  console.log(`load average ${conditions.loadAverageAtStart.join(" ")} at the start, ${conditions.loadAverageAtEnd.join(" ")} at the end`);
  console.log(`model: ${model.shape}, ${model.dtype}, ${(model.byteLength / 1e6).toFixed(0)} MB`);
  for (const { compared, equalTokens, largestDifference } of checks)
    console.log(`${compared.join(" and ")}: ${equalTokens} equal tokens, log-probabilities within ${largestDifference.toFixed(3)}`);
  if (peer !== undefined) console.log(`this engine and llama.cpp: the first ${peer.equalTokens} tokens are equal`);
  console.log("\ntok/s (median)                    decode   prefill   GB/s   processor ms/token");
  for (const [name, cell] of [...Object.entries(decode), ...Object.entries(instructionSets)]) {
    const gigabytesPerSecond = (cell.tokensPerSecond.median * model.byteLengthPerToken) / 1e9;
    const columns = [
      cell.tokensPerSecond.median.toFixed(2).padStart(8),
      cell.prefillTokensPerSecond.median.toFixed(1).padStart(9),
      gigabytesPerSecond.toFixed(1).padStart(6),
      cell.processorMsPerToken.median.toFixed(1).padStart(14),
    ];
    console.log(`${name.padEnd(32)}${columns.join(" ")}`);
  }
  console.log(`one sequence                    ${batch.singleTokensPerSecond.median.toFixed(2).padStart(8)}`);
  console.log(`16 sequences together           ${batch.togetherTokensPerSecond.median.toFixed(2).padStart(8)}`);
  console.log(`prefill of 256 tokens           ${batch.prefillTokensPerSecond.median.toFixed(2).padStart(8)}\n`);
  for (const { name, ratio, least, holds } of bars)
    console.log(`${holds ? "holds " : "MISSED"}  ${name}: ${ratio.toFixed(2)} (at least ${least})`);
}

await runAsCommand(import.meta.url, async () => {
  const { values } = parseArgs({
    options: {
      shape: { type: "string", default: "1.1b" },
      rounds: { type: "string", default: "3" },
      tokens: { type: "string", default: "48" },
      prompt: { type: "string", default: "128" },
      threads: { type: "string", default: "1,2" },
      json: { type: "boolean", default: false },
    },
  });
  if (!Object.hasOwn(modelShapes, values.shape))
    throw new InvalidRequestError(
      "--shape",
      values.shape,
      `${values.shape} is no shape`,
      `use one of ${Object.keys(modelShapes).join(", ")}`,
    );
  /** @param {string} option @param {string} text */
  const whole = (option, text) => {
    const value = Number(text);
    if (Number.isSafeInteger(value) && value > 0) return value;
    throw new InvalidRequestError(option, text, `is ${text}`, "give positive whole numbers");
  };
  const shape = /** @type {keyof typeof modelShapes} */ (values.shape);
  const report = await measureDecode({
    shape,
    rounds: whole("--rounds", values.rounds),
    numTokens: whole("--tokens", values.tokens),
    promptTokens: whole("--prompt", values.prompt),
    threads: values.threads.split(",").map((text) => whole("--threads", text)),
  });
  print(report);
  if (values.json) {
    const target = path.join(folder, "results", `${machineName()}.json`);
    await mkdir(path.dirname(target), { recursive: true });
    await writeFile(target, `${JSON.stringify(report, undefined, 2)}\n`);
    console.log(`written: ${path.relative(process.cwd(), target)}`);
  }
  if (shape === "1.1b" && report.bars.some(({ holds }) => !holds)) process.exitCode = 1;
});
