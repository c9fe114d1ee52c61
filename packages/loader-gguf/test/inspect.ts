/** What several tests share: files in memory, and what they hold. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ThermoclineError } from "@thermocline/spec";
import type { GgufContent } from "../src/index.js";
import { buildGguf, type GgufSource, openGguf } from "../src/index.js";

export function blobOf(content: Partial<GgufContent<Uint8Array>>): Blob {
  return new Blob([buildGguf({ metadata: [], tensors: [], ...content })]);
}

/** Opens, looks, and closes. */
export async function withGguf<Result>(
  location: Parameters<typeof openGguf>[0],
  look: (source: GgufSource) => Result,
): Promise<Awaited<Result>> {
  await using source = await openGguf(location);
  return await look(source);
}

/** The error that `action` ends with, which must be one of ours. */
export async function errorOf(action: () => Promise<unknown>): Promise<ThermoclineError> {
  try {
    await action();
  } catch (error) {
    if (ThermoclineError.isInstance(error)) return error;
    throw error;
  }
  throw new Error("expected an error");
}

export async function withDirectory<Result>(use: (directory: string) => Promise<Result>): Promise<Result> {
  const directory = await mkdtemp(join(tmpdir(), "thermocline-gguf-"));
  try {
    return await use(directory);
  } finally {
    await rm(directory, { recursive: true });
  }
}

/** Deterministic 32-bit numbers (xorshift). */
export function createRandom(seed: number): (below: number) => number {
  let state = seed | 1;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

/** For long lists, where a deep comparison takes seconds. */
export function sameStrings(actual: unknown, expected: readonly string[]): boolean {
  return Array.isArray(actual) && actual.length === expected.length && expected.every((text, index) => text === actual[index]);
}
