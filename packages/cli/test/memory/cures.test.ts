/** A model that does not fit is refused with one change that makes it fit, which has been tried. */
import { writeFileSync } from "node:fs";
import { createMemoryLedger, type InsufficientMemoryError, type PlanRemedy } from "@thermocline/spec";
import { describe, expect, it } from "vitest";
import { messageWithOptions } from "../../src/command-line/option-names.js";
import { type OpenOptions, open } from "../../src/index.js";
import { temporaryFolder } from "../support/paths.js";
import { tinyModel } from "../support/tiny-model.js";

const inFolder = temporaryFolder();
const path = inFolder("long.gguf");
writeFileSync(path, tinyModel({ metadata: { "llama.context_length": { type: "u32", value: 32768 } } }));
const device = "reference:0";

async function refusalOf(options: OpenOptions): Promise<InsufficientMemoryError> {
  const ledger = createMemoryLedger();
  const error = await open(path, { ledger, backend: "reference", ...options }).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect([ledger.report(), ledger.budget(device)]).toEqual([[], 0]);
  expect(error).toMatchObject({ code: "insufficient-memory" });
  return error as InsufficientMemoryError;
}

/** Opens once more with what the error says, and nothing else changed. */
async function retry(options: OpenOptions, { settings, budgetBytes }: PlanRemedy): Promise<number> {
  const ledger = createMemoryLedger();
  await using _model = await open(path, { ledger, backend: "reference", ...options, ...settings, ...(budgetBytes && { budgetBytes }) });
  return ledger.available(device);
}

describe("the cure of a refusal for want of memory", () => {
  it.each([
    ["a context", { contextLength: 32768, budgetBytes: 6_000_000 }, /^use contextLength: \d+, which fits$/, / --context \d+, which fits$/],
    [
      "a context beside the types that were asked for",
      { contextLength: 8192, budgetBytes: 1_500_000, keyCacheDType: "f16", valueCacheDType: "f32" },
      /^use contextLength: \d+, which fits$/,
      / --context \d+, which fits$/,
    ],
    [
      "smaller keys and values",
      { contextLength: 1024, budgetBytes: 314_452, maxBatchTokens: 32 },
      /^use keyCacheDType: "f16", valueCacheDType: "f16", which fits$/,
      / --kv-type f16, which fits$/,
    ],
    [
      "a smaller step",
      { contextLength: 32, maxBatchTokens: 4096, budgetBytes: 1_000_000 },
      /^use maxBatchTokens: 1024, which fits$/,
      / --batch-tokens 1024, which fits$/,
    ],
    [
      "fewer sequences",
      { contextLength: 1024, maxSequences: 8, maxBatchTokens: 32, budgetBytes: 1_000_000 },
      /^use maxSequences: 2, which fits$/,
      / --sequences 2, which fits$/,
    ],
    [
      "a larger budget",
      { contextLength: 32, maxBatchTokens: 32, budgetBytes: 50_000 },
      /^raise the budget: budgetBytes: /,
      /raise the budget: --budget reference:0=\d+B$/,
    ],
  ] as const)("is %s, and opens when it is taken", async (_what, options, cure, inOptions) => {
    const error = await refusalOf(options);
    expect(error.cure).toMatch(cure);
    expect(messageWithOptions(error)).toMatch(inOptions);
    expect(await retry(options, error.remedy!)).toBeGreaterThanOrEqual(0);
  });

  it("is the longest context: a block more would not fit", async () => {
    const options = { contextLength: 32768, budgetBytes: 6_000_000 };
    const { remedy } = await refusalOf(options);
    const more = { ...options, contextLength: remedy!.settings!.contextLength! + 32 };
    expect((await refusalOf(more)).remedy).toEqual(remedy);
  });

  it("counts what other models hold and are guaranteed", async () => {
    const ledger = createMemoryLedger({ [device]: 6_000_000 });
    ledger.guarantee("other", device, 3_000_000);
    const opening = { ledger, backend: "reference", contextLength: 32768 } as const;
    const error: InsufficientMemoryError = await open(path, opening).then(
      () => undefined,
      (reason) => reason,
    );
    const contextLength = error.remedy!.settings!.contextLength!;
    let leftBytes: number | undefined;
    const onProgress = () => {
      leftBytes ??= ledger.available(device);
    };
    await using _model = await open(path, { ...opening, contextLength, onProgress });
    expect(leftBytes).toBeLessThan(32 * 256 + 4096);
    // What loading took is there again.
    expect(ledger.available(device)).toBeGreaterThan(leftBytes!);
  });
});
