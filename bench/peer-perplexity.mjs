/**
 * Perplexity by llama.cpp's own tool, `llama-perplexity`. With llama.cpp's BLAS backend the products of a window are computed in single
 * precision from dequantised weights, so that its figure does not carry the rounding of activations to 8 bits that its other kernels do.
 */
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import path from "node:path";
import { cacheFolder } from "./cache-folder.mjs";
import { createProgressBar } from "./progress-bar.mjs";

/** @typedef {{ readonly engine: string, readonly perplexities: readonly number[] }} ToolFigures `perplexities`: after each window, over all up to it. */

/**
 * The tool is waited for: minutes a window on a slow machine. Figures of a run that ended are kept in the cache folder.
 * @param {string} tool Path of the program.
 * @param {{ readonly modelPath: string, readonly identity: string, readonly textPath: string, readonly numWindows: number,
 *   readonly contextLength: number, readonly threads: number }} run
 * @returns {Promise<ToolFigures>}
 */
export async function measureWithTool(tool, { modelPath, identity, textPath, numWindows, contextLength, threads }) {
  const version = /version: (\S+)/.exec(await outputOf(tool, ["--version"], () => {}))?.[1] ?? "of unknown version";
  const devices = await outputOf(tool, ["--list-devices"], () => {});
  // Beside the CPU.
  const names = [...devices.matchAll(/^ +(\w+): /gm)].map(([, name]) => name);
  const engine = `llama.cpp ${version} (llama-perplexity), ${["CPU", ...names].join(" and ")}, flash attention off`;
  const settings = ["-c", contextLength, "-b", contextLength, "--chunks", numWindows, "-fa", "off", "--no-repack"].map(String);
  const text = createHash("sha256").update(await readFile(textPath));
  const key = createHash("sha256").update(JSON.stringify([version, identity, text.digest("hex"), settings]));
  const file = path.join(cacheFolder(), `perplexity-tool-${key.digest("hex").slice(0, 16)}.json`);
  if (existsSync(file)) return { engine, perplexities: JSON.parse(await readFile(file, "utf8")).perplexities };
  const bar = createProgressBar("llama-perplexity", numWindows, "windows");
  const output = await outputOf(tool, ["-m", modelPath, "-f", textPath, "-t", String(threads), ...settings], (soFar) =>
    bar.advance(perplexitiesIn(soFar).length),
  );
  bar.end();
  const figures = { engine, perplexities: perplexitiesIn(output) };
  if (figures.perplexities.length !== numWindows)
    throw new Error(`${tool} gave ${figures.perplexities.length} of ${numWindows} figures: ${output.slice(-500)}`);
  await mkdir(cacheFolder(), { recursive: true });
  await writeFile(`${file}.partial`, JSON.stringify(figures));
  await rename(`${file}.partial`, file);
  return figures;
}

/**
 * What the tool prints after each window: its number in brackets and the perplexity so far.
 * @param {string} output
 */
export function perplexitiesIn(output) {
  return [...output.matchAll(/\[\d+\](\d+\.\d+),/g)].map(([, value]) => Number(value));
}

/**
 * Both streams together: where the tool logs differs by version.
 * @param {string} tool
 * @param {readonly string[]} args
 * @param {(soFar: string) => void} onOutput
 * @returns {Promise<string>}
 */
function outputOf(tool, args, onOutput) {
  return new Promise((resolve, reject) => {
    const child = spawn(tool, args, { stdio: ["ignore", "pipe", "pipe"] });
    let output = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (/** @type {string} */ piece) => {
        output += piece;
        onOutput(output);
      });
    }
    child.on("error", reject);
    child.on("close", (code) => {
      if (code === 0) resolve(output);
      else reject(new Error(`${tool} ended with ${code}: ${output.slice(-500)}`));
    });
  });
}
