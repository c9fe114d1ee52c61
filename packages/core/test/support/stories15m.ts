/** The float32 and float16 conversions of stories15M, which the bench makes from an npm package and keeps in its cache folder. */
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import { repositoryRoot } from "./golden.js";

const run = promisify(execFile);

/** Converts where the cache has none; undefined, with a line that says so, where the package cannot be had. */
export async function stories15mPath(dtype: "f32" | "f16"): Promise<string | undefined> {
  const cached = path.resolve(process.env.THERMOCLINE_CACHE || path.join(tmpdir(), "thermocline-bench"), `stories15M-${dtype}.gguf`);
  if (existsSync(cached)) return cached;
  try {
    const { stdout } = await run(process.execPath, [path.join(repositoryRoot, "bench/convert-stories15m.mjs"), "--dtype", dtype], {
      timeout: 120_000,
    });
    return stdout.trim();
  } catch (error) {
    console.warn(
      `goldens of stories15M-${dtype} skipped: the conversion failed (${String((error as { stderr?: string }).stderr ?? error).trim()})`,
    );
    return undefined;
  }
}
