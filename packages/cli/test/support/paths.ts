import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll } from "vitest";

const repositoryRoot = resolve(import.meta.dirname, "../../../..");

/** stories15M in Q8_0: 6 layers of 768 neurons, context 256. */
export const embeddedModel = resolve(repositoryRoot, "models/stories15M-q8_0.gguf");
export const splitPlan = resolve(repositoryRoot, "models/stories15M-split.plan.json");
export const launcher = resolve(repositoryRoot, "packages/cli/bin/thermocline.js");

/** A folder, with a space in its name, that goes when the test file has run. */
export function temporaryFolder(): (name: string) => string {
  const folder = mkdtempSync(join(tmpdir(), "thermocline cli "));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  return (name) => join(folder, name);
}
