/** A model of real size with random weights, and processes that measure it. */
import { execFile } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import { cpuBackendAvailability } from "@thermocline/cpu-kernels";
import { repositoryRoot } from "../support/golden.js";

const run = promisify(execFile);
/** The bench depends on this package, so its writer is started, not imported. */
const writer = path.join(repositoryRoot, "bench/write-random-model.mjs");
const cached = path.join(process.env.THERMOCLINE_CACHE || path.join(tmpdir(), "thermocline-bench"), "random-1.1b-q4_0.gguf");

export interface LargeShapeModel extends Disposable {
  readonly path: string;
  /** "1.1b" where the bench has left it in its cache, else "150m". */
  readonly shape: "1.1b" | "150m";
}

/** The addon is there. A line says so where it is not. */
export function canMeasure(what: string): boolean {
  const availability = cpuBackendAvailability();
  if (!availability.available) console.warn(`${what}: skipped, the CPU addon is not there (${availability.reasons.join("; ")})`);
  return availability.available;
}

/** Q4_0. The small one is written to the temporary folder and removed with the model. */
export async function openLargeShapeModel(what: string): Promise<LargeShapeModel> {
  if (existsSync(cached)) {
    console.log(`${what}: on the 1.1b shape`);
    return { path: cached, shape: "1.1b", [Symbol.dispose]: () => {} };
  }
  const folder = mkdtempSync(path.join(tmpdir(), "thermocline-large-shape-"));
  const target = path.join(folder, "model.gguf");
  await run(process.execPath, [writer, "--shape", "150m", "--out", target]);
  console.log(`${what}: on the 150m shape; \`node bench/write-random-model.mjs\` makes the 1.1b one`);
  return { path: target, shape: "150m", [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }) };
}

/** What a script of this folder prints last, as JSON. */
export async function measureInProcess<Result>(
  script: string,
  args: readonly string[],
  nodeOptions: readonly string[] = [],
): Promise<Result> {
  const file = path.join(import.meta.dirname, script);
  const { stdout } = await run(process.execPath, [...nodeOptions, file, ...args], { timeout: 100_000 });
  return JSON.parse(stdout.trim().split("\n").at(-1)!) as Result;
}

/** Token ids of pieces: neither bytes nor control tokens. */
export function promptOf(length: number, variant = 0): readonly number[] {
  return Array.from({ length }, (_, index) => 260 + ((index * 7919 + variant * 104_729) % 31_700));
}
