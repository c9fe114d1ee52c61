import { existsSync, readFileSync } from "node:fs";
import path from "node:path";
import { createEngine } from "@thermocline/core";
import { createReferenceBackend } from "@thermocline/cpu-kernels/reference";
import { openGguf } from "@thermocline/loader-gguf";
import { createMemoryLedger } from "@thermocline/spec";
import { describe, expect, it } from "vitest";
import { cacheFolderPath } from "../cache-folder.mjs";

interface Golden {
  readonly cases: readonly {
    readonly promptTokenIds: readonly number[];
    readonly greedyTokenIds: readonly number[];
    /** The most likely tokens of each step. */
    readonly steps: readonly (readonly (readonly [tokenId: number, logprob: number])[])[];
    /** For the ids of `steps`: log-probabilities of a float32 forward on the same weights, to five decimals. */
    readonly exactLogprobs: readonly (readonly number[])[];
  }[];
}

/** Values up to 2^5, rounded by 2^-24 of themselves at each of some 40 stores on the way to a logit. */
const float32Rounding = 40 * 2 ** -19;

const golden = path.resolve(import.meta.dirname, "../../../shared/data/golden");
const fileOf = (dtype: string) => path.join(cacheFolderPath(), `stories15M-${dtype}.gguf`);
const isThere = (dtype: string) => existsSync(fileOf(dtype)) && existsSync(path.join(golden, `stories15M-${dtype}.json`));
const dtypes = ["f32", "f16"] as const;
if (!dtypes.every(isThere))
  console.warn("stories15M against its goldens: skipped, it needs ../shared/data and what `node bench/convert-stories15m.mjs` writes");

describe.each(dtypes)("converted stories15M in %s", (dtype) => {
  it.runIf(isThere(dtype))("continues its goldens' first prompt as an independent engine does", async () => {
    const { cases } = JSON.parse(readFileSync(path.join(golden, `stories15M-${dtype}.json`), "utf8")) as Golden;
    const { promptTokenIds, greedyTokenIds, steps, exactLogprobs } = cases[0]!;
    await using backend = createReferenceBackend();
    await using source = await openGguf(fileOf(dtype));
    const ledger = createMemoryLedger({ [backend.device.id]: 2 ** 31 });
    await using engine = await createEngine({ source, backends: [backend], ledger, contextLength: 64, maxBatchTokens: 16 });
    const maxTokens = 12;
    const request = { prompt: promptTokenIds, maxTokens, ignoreEos: true, logprobs: 20, sampling: { temperature: 0 } };
    let step = 0;
    for await (const event of engine.generate(request)) {
      if (event.type === "end") continue;
      expect(event.tokenIds).toEqual([greedyTokenIds[step]]);
      const found = new Map(event.logprobs![0]!.top);
      steps[step]!.slice(0, 5).forEach(([tokenId], rank) => {
        const difference = found.get(tokenId)! - exactLogprobs[step]![rank]!;
        expect(Math.abs(difference)).toBeLessThanOrEqual(float32Rounding);
      });
      step++;
    }
    expect(step).toBe(maxTokens);
  });
});
