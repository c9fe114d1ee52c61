/** `thermocline eval` against what `score` gives and a loop over it. */
import { writeFileSync } from "node:fs";
import type { Engine } from "@thermocline/spec";
import { describe, expect, it } from "vitest";
import { Evaluation } from "../../src/command-line/evaluation/evaluation.js";
import { scoreWindow } from "../../src/command-line/evaluation/score-window.js";
import { cutWindows } from "../../src/command-line/evaluation/windows.js";
import { type OpenedModel, open } from "../../src/index.js";
import { thermocline } from "../support/command.js";
import { embeddedModel, temporaryFolder } from "../support/paths.js";
import { tinyModel } from "../support/tiny-model.js";

const inFolder = temporaryFolder();
const textPath = inFolder("story.txt");
const story = "Once upon a time, there was a little girl named Lily. She loved to play outside in the park. ".repeat(6);
writeFileSync(textPath, story);
const tinyPath = inFolder("tiny.gguf");
writeFileSync(tinyPath, tinyModel());
/** The same weights, other positions. */
const otherPath = inFolder("other.gguf");
writeFileSync(otherPath, tinyModel({ metadata: { "llama.rope.freq_base": { type: "f32", value: 100 } } }));

/** ln p of the whole vocabulary after every token of a window. */
async function logProbabilities(model: OpenedModel, tokenIds: readonly number[]): Promise<Float64Array[]> {
  const rows: Float64Array[] = [];
  for await (const { logits } of model.score({ tokenIds })) {
    const row = Float64Array.from(logits);
    const sum = row.reduce((total, logit) => total + Math.exp(logit), 0);
    rows.push(row.map((logit) => logit - Math.log(sum)));
  }
  return rows;
}

async function windowsOf(model: OpenedModel, contextLength: number, count: number): Promise<number[][]> {
  const tokenIds = model.tokenizer!.encode(story, { addBos: true });
  return Array.from({ length: count }, (_, index) => [1, ...tokenIds.slice(index * contextLength + 1, (index + 1) * contextLength)]);
}

describe("eval", () => {
  it("finds the perplexity of the second half of each window", async () => {
    await using model = await open(embeddedModel, { maxScoredTokens: 32, contextLength: 32 });
    let sum = 0;
    for (const window of await windowsOf(model, 32, 3)) {
      const rows = await logProbabilities(model, window);
      for (let position = 16; position <= 30; position++) sum -= rows[position]![window[position + 1]!]!;
    }
    const { stdout } = await thermocline(["eval", embeddedModel, "--text", textPath, "--context", "32", "--chunks", "3", "--json"]);
    const result = JSON.parse(stdout);
    expect(result).toMatchObject({
      model: { name: "stories15M", identity: model.identity },
      contextLength: 32,
      windows: 3,
      windowCount: 3,
      isComplete: true,
      scoredTokens: 45,
    });
    // The same logits, summed in another order in double precision.
    expect(result.meanNegativeLogLikelihood).toBeCloseTo(sum / 45, 9);
    expect(result.perplexity.value).toBeCloseTo(Math.exp(sum / 45), 6);
    // A text like those that it was trained on.
    expect(result.perplexity.value).toBeLessThan(20);
    const shown = await thermocline(["eval", embeddedModel, "--text", textPath, "--context", "32", "--tokens", "100"]);
    expect(shown).toMatchObject({ exitCode: 0, stderr: "" });
    expect(shown.stdout).toMatch(
      new RegExp(`^perplexity +${result.perplexity.value.toFixed(4)} ± ${result.perplexity.standardError.toFixed(4)}$`, "m"),
    );
  });

  it("measures how far the model is from another one", async () => {
    const args = ["--text", textPath, "--context", "24", "--chunks", "2", "--backend", "reference", "--json"];
    const { stdout } = await thermocline(["eval", tinyPath, ...args, "--kl-against", otherPath]);
    const { against, perplexity } = JSON.parse(stdout);
    await using model = await open(tinyPath, { backend: "reference", maxScoredTokens: 24 });
    await using base = await open(otherPath, { backend: "reference", maxScoredTokens: 24 });
    const divergences: number[] = [];
    for (const window of await windowsOf(model, 24, 2)) {
      const [rows, baseRows] = [await logProbabilities(model, window), await logProbabilities(base, window)];
      for (let position = 12; position <= 22; position++) {
        const row = rows[position]!;
        divergences.push(baseRows[position]!.reduce((sum, logBase, id) => sum + Math.exp(logBase) * (logBase - row[id]!), 0));
      }
    }
    expect(against.model.identity).toBe(base.identity);
    expect(against.divergence.value).toBeGreaterThan(0);
    expect(against.divergence.value).toBeCloseTo(divergences.reduce((sum, value) => sum + value) / divergences.length, 9);
    expect(against.divergence.maximum).toBeCloseTo(Math.max(...divergences), 9);
    expect(against.perplexityRatio.value).toBeCloseTo(perplexity.value / against.perplexity.value, 9);
    const itself = JSON.parse((await thermocline(["eval", tinyPath, ...args, "--kl-against", tinyPath])).stdout).against;
    expect(itself).toMatchObject({
      perplexityRatio: { value: 1 },
      divergence: { value: 0, maximum: 0 },
      sameTopToken: { value: 1, standardError: 0 },
    });
  });

  it("keeps what was measured when it is interrupted", async () => {
    await using model = await open(tinyPath, { backend: "reference", maxScoredTokens: 4 });
    const controller = new AbortController();
    const evaluation = new Evaluation();
    const interrupted: Pick<Engine, "score"> = {
      async *score(request, options) {
        for await (const position of model.score(request, options)) {
          yield position;
          if (evaluation.scoredTokens === 5) controller.abort(new Error("enough"));
        }
      },
    };
    const tokenIds = model.tokenizer!.encode(story, { addBos: true });
    const [window] = cutWindows(tokenIds, 40, { addBos: true, special: { bos: 1 } });
    await scoreWindow(window!, interrupted, undefined, evaluation, controller.signal);
    expect(evaluation.result()).toMatchObject({ scoredTokens: 5, perplexity: { value: expect.any(Number) } });
    await expect(scoreWindow(window!, model, model, evaluation, controller.signal)).resolves.toBeUndefined();
    expect(evaluation.scoredTokens).toBe(5);
  });
});
