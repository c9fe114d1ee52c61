import { writeFileSync } from "node:fs";
import { createMemoryLedger, type GenerateRequest, type OffloadPlan, ThermoclineError } from "@thermocline/spec";
import { describe, expect, it } from "vitest";
import { type OpenedModel, open } from "../src/index.js";
import { embeddedModel, temporaryFolder } from "./support/paths.js";
import { tinyModel } from "./support/tiny-model.js";

const inFolder = temporaryFolder();
const tinyPath = inFolder("tiny.gguf");
writeFileSync(tinyPath, tinyModel());

async function complete(model: OpenedModel, request: GenerateRequest, signal?: AbortSignal) {
  let text = "";
  const tokenIds: number[] = [];
  for await (const event of model.generate(request, { signal })) {
    if (event.type === "end") return { text, tokenIds, ...event };
    text += event.text;
    tokenIds.push(...event.tokenIds);
  }
  throw new Error("a generation without an end");
}

const greedy = { prompt: "Once", maxTokens: 12, sampling: { temperature: 0 }, ignoreEos: true };

/** Neurons 0 to 31 of each layer on the first of two devices, 32 to 63 on the second. */
const halves = (model: string): OffloadPlan => ({
  version: 1,
  model,
  devices: { "reference:0": { backend: "reference" }, "reference:1": { backend: "reference" } },
  units: [0, 1].flatMap((layer) =>
    [0, 1].map((half) => ({ id: `blk.${layer}.feed-forward`, device: `reference:${half}`, rows: [[half * 32, 32]] as const })),
  ),
});

describe("open", () => {
  it("owns everything it opened: disposing gives every byte back", async () => {
    const ledger = createMemoryLedger();
    const model = await open(tinyPath, { ledger, backend: "reference" });
    expect(ledger.report().length).toBeGreaterThan(0);
    expect(model).toMatchObject({ name: "tiny", contextLength: 64, config: { architecture: "llama" } });
    expect(model.placement.get("blk.1.attention")).toEqual([{ device: "reference:0" }]);
    expect((await complete(model, greedy)).tokenIds).toHaveLength(12);
    await model[Symbol.asyncDispose]();
    await model[Symbol.asyncDispose]();
    expect(ledger.report()).toEqual([]);
    await expect(complete(model, greedy)).rejects.toMatchObject({ code: "invalid-request" });
  });

  it("ends generations that run when it is disposed", async () => {
    const model = await open(embeddedModel, { backend: "reference" });
    const running = complete(model, { prompt: "Once upon a time", ignoreEos: true });
    await new Promise((resolve) => setTimeout(resolve, 50));
    await model[Symbol.asyncDispose]();
    expect(await running).toMatchObject({ reason: "abort" });
  });

  it("gives two models with one ledger and one name owners of their own, and the same answers as alone", async () => {
    const ledger = createMemoryLedger();
    const [first, second] = await Promise.all([1, 2].map(() => open(tinyPath, { ledger, backend: "reference" })));
    expect([...new Set(ledger.report().map(({ owner }) => owner))].sort()).toEqual(["tiny", "tiny (2)"]);
    const [a, b] = await Promise.all([complete(first!, greedy), complete(second!, greedy)]);
    expect(a.tokenIds).toEqual(b.tokenIds);
    expect(first!.memory()[0]!.byteLengthByClass).toEqual(second!.memory()[0]!.byteLengthByClass);
    await first![Symbol.asyncDispose]();
    expect(new Set(ledger.report().map(({ owner }) => owner)).size).toBe(1);
    expect((await complete(second!, greedy)).tokenIds).toEqual(a.tokenIds);
    await second![Symbol.asyncDispose]();
    expect(ledger.report()).toEqual([]);
  });

  it("runs a split plan to the same tokens as the whole model", async () => {
    await using whole = await open(tinyPath, { backend: "reference" });
    await using split = await open(tinyPath, { plan: halves(whole.identity), trace: true });
    expect((await complete(split, greedy)).tokenIds).toEqual((await complete(whole, greedy)).tokenIds);
    expect(split.memory().map(({ device }) => device)).toEqual(["reference:0", "reference:1"]);
    expect(split.placement.get("blk.0.feed-forward")).toEqual([
      { device: "reference:0", rows: [[0, 32]] },
      { device: "reference:1", rows: [[32, 32]] },
    ]);
    expect(split.statistics().overlap!.shorterLegMs).toBeGreaterThan(0);
    expect(whole.statistics().overlap).toBeUndefined();
  });

  it("opens a Blob as it opens a path", async () => {
    await using fromPath = await open(tinyPath, { backend: "reference" });
    await using fromBlob = await open(new Blob([tinyModel() as Uint8Array<ArrayBuffer>]), { backend: "reference" });
    expect(fromBlob.identity).toBe(fromPath.identity);
    expect((await complete(fromBlob, greedy)).tokenIds).toEqual((await complete(fromPath, greedy)).tokenIds);
  });

  it("reports progress up to the last byte", async () => {
    const seen: number[] = [];
    let total = 0;
    const onProgress = ({ loadedBytes, totalBytes }: { readonly loadedBytes: number; readonly totalBytes: number }) => {
      seen.push(loadedBytes);
      total = totalBytes;
    };
    await using _model = await open(tinyPath, { backend: "reference", onProgress });
    expect(seen).toEqual([...seen].sort((a, b) => a - b));
    expect(seen.at(-1)).toBe(total);
  });

  it("stops a generation when its signal aborts", async () => {
    await using model = await open(embeddedModel, { backend: "reference" });
    const controller = new AbortController();
    const events: string[] = [];
    for await (const event of model.generate({ prompt: "Once upon a time", ignoreEos: true }, { signal: controller.signal })) {
      events.push(event.type === "end" ? event.reason : event.type);
      controller.abort();
    }
    expect(events.at(-1)).toBe("abort");
    expect(events.length).toBeLessThan(10);
  });
});

describe("opening that fails leaves nothing behind", () => {
  const refusal = async (bytes: Uint8Array | string, options: Parameters<typeof open>[1]) => {
    const ledger = createMemoryLedger();
    const location = typeof bytes === "string" ? bytes : new Blob([bytes as Uint8Array<ArrayBuffer>]);
    const error = await open(location, { backend: "reference", ...options, ledger }).then(
      () => undefined,
      (reason: unknown) => reason,
    );
    expect(ledger.report()).toEqual([]);
    return error;
  };

  it("when a tensor is missing", async () => {
    const error = await refusal(tinyModel({ without: "blk.1.ffn_up.weight" }), {});
    expect(error).toMatchObject({ code: "invalid-tensor", tensor: "blk.1.ffn_up.weight" });
  });

  it("when a device's budget is too small", async () => {
    const error = await refusal(tinyModel(), { budgetBytes: 1000 });
    expect(error).toMatchObject({ code: "insufficient-memory", device: "reference:0", haveBytes: 1000 });
    expect(ThermoclineError.isInstance(error) && error.cure).toMatch(/raise the budget/);
  });

  it("not even its budgets in a ledger that is shared", async () => {
    const ledger = createMemoryLedger({ "reference:1": 5 });
    const tiny = new Blob([tinyModel() as Uint8Array<ArrayBuffer>]);
    const lacking = new Blob([tinyModel({ without: "blk.1.ffn_up.weight" }) as Uint8Array<ArrayBuffer>]);
    const refused = (location: Blob, budgetBytes?: number) =>
      open(location, { ledger, backend: "reference", budgetBytes }).catch((error) => error.code);
    expect(await refused(tiny, 1000)).toBe("insufficient-memory");
    expect(ledger.budget("reference:0")).toBe(0);
    expect(await Promise.all([refused(lacking, 7000), refused(lacking, 8000), refused(lacking)])).toEqual(Array(3).fill("invalid-tensor"));
    expect(ledger.budget("reference:0")).toBe(0);

    await using _model = await open(tinyPath, { ledger, backend: "reference", budgetBytes: 10_000_000 });
    expect(await refused(lacking, 7000)).toBe("invalid-tensor");
    expect(ledger.budget("reference:0")).toBe(10_000_000);
    const controller = new AbortController();
    const onProgress = () => {
      ledger.setBudget("reference:0", 20_000_000);
      controller.abort(new Error("enough"));
    };
    const options = { ledger, backend: "reference", budgetBytes: 15_000_000, signal: controller.signal, onProgress } as const;
    await expect(open(tinyPath, options)).rejects.toThrow("enough");
    expect(ledger.budget("reference:0")).toBe(20_000_000);
    expect(ledger.budget("reference:1")).toBe(5);
  });

  it("keeps the budget of an opening that succeeds beside one that fails", async () => {
    const ledger = createMemoryLedger();
    const controller = new AbortController();
    const onProgress = () => controller.abort(new Error("enough"));
    const opening = { ledger, backend: "reference" } as const;
    const [failed, opened] = await Promise.allSettled([
      open(tinyPath, { ...opening, signal: controller.signal, onProgress }),
      open(tinyPath, opening),
    ]);
    expect([failed.status, opened.status]).toEqual(["rejected", "fulfilled"]);
    await using model = (opened as PromiseFulfilledResult<OpenedModel>).value;
    expect(model.memory()[0]!.budgetBytes).toBeGreaterThan(0);
    expect(ledger.available("reference:0")).toBeGreaterThan(0);
  });

  it.each([
    ["of another device", { "cpu:7": 1e9 }],
    ["that is no number", Number.NaN],
    ["below 0", -1],
    ["of one device below 0", { "reference:0": -1 }],
  ])("when it is given a budget %s", async (_what, budgetBytes) => {
    expect(await refusal(tinyModel(), { budgetBytes })).toMatchObject({ code: "invalid-request", parameter: "budgetBytes" });
  });

  it("when devices together ask for more than the host has, each within its own budget", async () => {
    const contextLength = 2 ** 31 - 2 ** 16;
    const bytes = tinyModel({ metadata: { "llama.context_length": { type: "u32", value: contextLength } } });
    const error = await refusal(bytes, { contextLength, maxBatchTokens: contextLength, budgetBytes: 2 ** 52 });
    expect(error).toMatchObject({ code: "insufficient-memory", device: "host memory (reference:0)" });
  });

  it("when it is aborted before or while weights are loaded", async () => {
    const reason = new Error("enough");
    expect(await refusal(tinyModel(), { signal: AbortSignal.abort(reason) })).toBe(reason);
    const controller = new AbortController();
    const onProgress = () => controller.abort(reason);
    expect(await refusal(tinyModel(), { signal: controller.signal, onProgress })).toBe(reason);
  });

  it("when options contradict each other", async () => {
    const plan = halves("another model");
    expect(await refusal(embeddedModel, { isa: "avx2" })).toMatchObject({ code: "invalid-request", parameter: "isa" });
    expect(await refusal(embeddedModel, { threads: 0 })).toMatchObject({ code: "invalid-request", parameter: "threads" });
    expect(await refusal(embeddedModel, { backend: "auto", plan })).toMatchObject({ code: "invalid-plan", subject: "model" });
    await using model = await open(tinyPath, { backend: "reference" });
    expect(await refusal(tinyPath, { plan: halves(model.identity) })).toMatchObject({ code: "invalid-request", parameter: "backend" });
    const unknown = {
      ...halves(model.identity),
      devices: { "reference:0": { backend: "reference" }, "reference:1": { backend: "abacus" } },
    };
    expect(await refusal(tinyPath, { backend: "auto", plan: unknown })).toMatchObject({
      code: "invalid-plan",
      subject: "device reference:1",
    });
  });
});
