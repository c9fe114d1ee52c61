import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { measureWithTool, perplexitiesIn } from "../peer-perplexity.mjs";

/** What llama-perplexity prints: figures of several windows may share a line with its log. */
const output = "[1]10.5575,[2]13.4012,\n[3]13.9001,\nFinal estimate: PPL = 13.9001 +/- 0.5\n";

describe("llama-perplexity", () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(path.join(tmpdir(), "thermocline-tool-"));
    vi.stubEnv("THERMOCLINE_CACHE", path.join(folder, "cache"));
  });
  afterEach(async () => {
    vi.unstubAllEnvs();
    await rm(folder, { recursive: true });
  });

  /** A program that answers as the tool does, and its run. */
  async function run(printed: string, numWindows: number) {
    const tool = path.join(folder, "tool");
    const answers = { "--version": "version: 0.7.0 (x)", "--list-devices": "Available devices:\n  BLAS: BLAS (0 MiB, 0 MiB free)\n" };
    const script = `process.stdout.write(${JSON.stringify(answers)}[process.argv[2]] ?? ${JSON.stringify(printed)});`;
    await writeFile(tool, `#!/usr/bin/env node\n${script}\n`);
    await chmod(tool, 0o755);
    const textPath = path.join(folder, "text");
    await writeFile(textPath, "text");
    return measureWithTool(tool, { modelPath: "model.gguf", identity: "0", textPath, numWindows, contextLength: 8, threads: 1 });
  }

  it("tells the perplexity after each window", () => {
    expect(perplexitiesIn(output)).toEqual([10.5575, 13.4012, 13.9001]);
  });

  it("is named with its version and what it computed on, and is not run again for the same text", async () => {
    const figures = await run(output, 3);
    expect(figures.engine).toBe("llama.cpp 0.7.0 (llama-perplexity), CPU and BLAS, flash attention off");
    expect(figures.perplexities.at(-1)).toBe(13.9001);
    expect(await run("nothing", 3)).toEqual(figures);
  });

  it("is not believed where figures are missing", async () => {
    await expect(run(output, 4)).rejects.toThrow("gave 3 of 4 figures");
  });
});
