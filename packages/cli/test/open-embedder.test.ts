import { writeFileSync } from "node:fs";
import { createMemoryLedger, type OffloadPlan } from "@thermocline/spec";
import { describe, expect, it } from "vitest";
import { open, openEmbedder } from "../src/index.js";
import { temporaryFolder } from "./support/paths.js";
import { tinyEmbeddingModel } from "./support/tiny-embedding-model.js";
import { tinyModel } from "./support/tiny-model.js";

const inFolder = temporaryFolder();
const path = inFolder("embeddings.gguf");
writeFileSync(path, tinyEmbeddingModel());
const generatingPath = inFolder("tiny.gguf");
writeFileSync(generatingPath, tinyModel());

describe("openEmbedder", () => {
  it("makes unit vectors of texts, and owns everything it opened", async () => {
    const ledger = createMemoryLedger();
    const embedder = await openEmbedder(path, { ledger, backend: "reference" });
    expect(embedder).toMatchObject({ name: "tiny embeddings", dimension: 32, identity: expect.stringMatching(/^[0-9a-f]+$/) });
    const [lake, again, sea] = await embedder.embed(["A lake in summer", "a LAKE  in summer", "seas"]);
    expect(Math.hypot(...lake!)).toBeCloseTo(1, 5);
    expect(again).toEqual(lake);
    expect(sea).not.toEqual(lake);
    expect(embedder.memory()[0]!.byteLengthByClass.weights).toBeGreaterThan(0);
    await embedder[Symbol.asyncDispose]();
    await embedder[Symbol.asyncDispose]();
    expect(ledger.report()).toEqual([]);
    await expect(embedder.embed(["a"])).rejects.toMatchObject({ code: "invalid-request" });
  });

  it("runs a plan", async () => {
    await using whole = await openEmbedder(path, { backend: "reference" });
    const plan: OffloadPlan = {
      version: 1,
      model: whole.identity,
      devices: { "reference:0": { backend: "reference" }, "reference:1": { backend: "reference" } },
      units: [0, 1].map((half) => ({ id: "blk.0.feed-forward", device: `reference:${half}`, rows: [[half * 32, 32]] as const })),
    };
    await using split = await openEmbedder(path, { plan });
    expect(split.memory().map(({ device }) => device)).toEqual(["reference:0", "reference:1"]);
    const [first] = await whole.embed(["a lake"]);
    const [second] = await split.embed(["a lake"]);
    // One sum in another order, in f32.
    expect(Math.hypot(...first!.map((element, index) => element - second![index]!))).toBeLessThan(2 ** -20);
  });

  it("refuses a model that generates, as open refuses one that embeds, and leaves nothing reserved", async () => {
    const ledger = createMemoryLedger();
    await expect(openEmbedder(generatingPath, { ledger, backend: "reference" })).rejects.toMatchObject({ code: "unsupported-model" });
    await expect(open(path, { ledger, backend: "reference" })).rejects.toThrow(/makes vectors of texts/);
    await expect(openEmbedder(path, { ledger, backend: "reference", contextLength: 17 })).rejects.toMatchObject({
      parameter: "contextLength",
    });
    await expect(openEmbedder(path, { ledger, backend: "reference", budgetBytes: 100 })).rejects.toMatchObject({
      code: "insufficient-memory",
    });
    expect(ledger.report()).toEqual([]);
  });
});
