/** What changes logits before they are sampled: each rule by itself against its definition, and all of them in the engine. */
import { cpuBackendAvailability, createCpuBackend } from "@thermocline/cpu-kernels";
import { createReferenceBackend } from "@thermocline/cpu-kernels/reference";
import { type Backend, defaultSampling, type GenerateRequest, InvalidRequestError, uniformOf } from "@thermocline/spec";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createTokenizer, type LoadedEngine, listOffloadUnits, readModelConfig } from "../src/index.js";
import { Dry } from "../src/sampling/dry.js";
import { LogitBias } from "../src/sampling/logit-bias.js";
import { LogitEdits } from "../src/sampling/logit-edits.js";
import type { LogitRule } from "../src/sampling/logit-rule.js";
import { MinimumTokens } from "../src/sampling/minimum-tokens.js";
import { RecentTokenPenalties } from "../src/sampling/recent-token-penalties.js";
import { VocabularyTexts } from "../src/sampling/vocabulary-texts.js";
import { complete, createRandom, createTestEngine, greedy, openEmbeddedModel } from "./support/embedded-model.js";
import { openRandomModel, randomPrompt } from "./support/random-model.js";

const largestFloat32 = (2 - 2 ** -23) * 2 ** 127;

type Edit = readonly [tokenId: number, penalty: number, bias: number];

/** The list that reaches the op, by token id. */
function editsOf(rules: readonly LogitRule[], tokenIds: readonly number[], numGeneratedTokens = 0, capacity = 16): readonly Edit[] {
  const edits = new LogitEdits(capacity);
  for (const rule of rules) rule.apply({ tokenIds, numGeneratedTokens }, edits);
  const ids = new Int32Array(capacity).fill(77);
  const values = new Float32Array(2 * capacity);
  edits.writeTo(ids, values);
  const end = ids.indexOf(-1);
  const listed = Array.from(ids.subarray(0, end < 0 ? capacity : end));
  expect(new Set(listed).size).toBe(listed.length);
  return listed.map((id, index): Edit => [id, values[2 * index]!, values[2 * index + 1]!]).sort((a, b) => a[0] - b[0]);
}

const penaltiesOf = (changes: Partial<typeof defaultSampling>) => new RecentTokenPenalties({ ...defaultSampling, ...changes });

describe("penalties on recent tokens", () => {
  it("count each token among the last ones once for presence and as often as it occurs for frequency", () => {
    const rule = penaltiesOf({ repetitionPenalty: 1.5, presencePenalty: 0.5, frequencyPenalty: 0.25, penaltyLastN: 4 });
    expect(editsOf([rule], [9, 3, 3, 5, 3])).toEqual([
      [3, 1.5, -1.25],
      [5, 1.5, -0.75],
    ]);
  });

  it("see no further than there are tokens", () => {
    const rule = penaltiesOf({ frequencyPenalty: 1, penaltyLastN: 64 });
    expect(editsOf([rule], [2])).toEqual([[2, 1, -1]]);
  });

  it("are on only where one of them changes something", () => {
    expect(RecentTokenPenalties.isOn(defaultSampling)).toBe(false);
    expect(RecentTokenPenalties.isOn({ ...defaultSampling, presencePenalty: 0.1 })).toBe(true);
    expect(RecentTokenPenalties.isOn({ ...defaultSampling, presencePenalty: 0.1, penaltyLastN: 0 })).toBe(false);
  });
});

describe("the list of edits", () => {
  it("names a token once, with the product of its penalties and the sum of its biases", () => {
    const rules = [penaltiesOf({ repetitionPenalty: 2, presencePenalty: 1 }), new LogitBias(new Map([[3, 2.5]]))];
    expect(editsOf(rules, [3])).toEqual([[3, 2, 1.5]]);
  });

  it("keeps a ban whatever is added to it", () => {
    const ban = new LogitBias(new Map([[3, Number.NEGATIVE_INFINITY]]));
    expect(editsOf([ban, new LogitBias(new Map([[3, 1e30]]))], [])).toEqual([[3, 1, Number.NEGATIVE_INFINITY]]);
  });

  it("keeps finite sums finite, which float32 would not", () => {
    const large = new LogitBias(new Map([[3, -3e38]]));
    const [[, , bias]] = editsOf([large, large], []) as [Edit];
    expect(Number.isFinite(bias)).toBe(true);
  });

  it.each<[string, readonly LogitRule[]]>([
    ["penalties", [penaltiesOf({ presencePenalty: 1e308, frequencyPenalty: 1e308 })]],
    ["penalties and a bias", [penaltiesOf({ frequencyPenalty: 1e308 }), new LogitBias(new Map([[3, -1e308]]))]],
  ])("bans nothing by sums of %s that exceed all numbers", (_, rules) => {
    const [[, , bias]] = editsOf(rules, [3, 3]) as [Edit];
    expect(bias).toBe(-largestFloat32);
  });

  it("keeps a ban beside rewards that exceed all numbers", () => {
    const ban = new LogitBias(new Map([[3, Number.NEGATIVE_INFINITY]]));
    const reward = penaltiesOf({ presencePenalty: -1e308, frequencyPenalty: -1e308 });
    expect(editsOf([reward, ban], [3, 3])).toEqual([[3, 1, Number.NEGATIVE_INFINITY]]);
    expect(editsOf([ban, reward], [3, 3])).toEqual([[3, 1, Number.NEGATIVE_INFINITY]]);
  });

  it("keeps penalties positive and finite", () => {
    for (const repetitionPenalty of [1e-300, 1e300]) {
      const [[, penalty]] = editsOf([penaltiesOf({ repetitionPenalty })], [3]) as [Edit];
      expect(penalty).toBeGreaterThan(0);
      expect(Number.isFinite(penalty)).toBe(true);
    }
  });

  it("may fill its whole room, without an end", () => {
    const biases = new Map(Array.from({ length: 4 }, (_, id) => [id, 1]));
    expect(editsOf([new LogitBias(biases)], [], 0, 4).length).toBe(4);
  });
});

describe("the minimum of tokens", () => {
  it("bans the tokens that end a generation until it is reached", () => {
    const rule = new MinimumTokens(2, [7, 8]);
    expect(editsOf([rule], [1, 2], 1).map(([id, , bias]) => [id, bias])).toEqual([
      [7, Number.NEGATIVE_INFINITY],
      [8, Number.NEGATIVE_INFINITY],
    ]);
    expect(editsOf([rule], [1, 2, 3], 2)).toEqual([]);
  });
});

interface DryCase {
  readonly dryMultiplier?: number;
  readonly dryBase?: number;
  readonly dryAllowedLength?: number;
  readonly dryLastN?: number;
  readonly breakers?: readonly number[];
}
const dryOf = ({ breakers = [], ...changes }: DryCase = {}) =>
  new Dry({ ...defaultSampling, dryMultiplier: 1, dryBase: 2, dryAllowedLength: 2, dryLastN: -1, ...changes }, (id) =>
    breakers.includes(id),
  );

/** As the definition says it: for each place where the last token stood before, how far the text before it equals the text's end. */
function dryByDefinition(tokenIds: readonly number[], { breakers = [], ...changes }: DryCase): readonly Edit[] {
  const { dryMultiplier, dryBase, dryAllowedLength, dryLastN } = {
    dryMultiplier: 1,
    dryBase: 2,
    dryAllowedLength: 2,
    dryLastN: -1,
    ...changes,
  };
  const text = dryLastN < 0 ? tokenIds : tokenIds.slice(-dryLastN);
  const longest = new Map<number, number>();
  for (let place = 0; place + 1 < text.length; place++) {
    let length = 0;
    while (
      length <= place &&
      text[place - length] === text[text.length - 1 - length] &&
      !breakers.includes(text[text.length - 1 - length]!)
    ) {
      length++;
    }
    const next = text[place + 1]!;
    if (length > 0) longest.set(next, Math.max(longest.get(next) ?? 0, length));
  }
  return [...longest]
    .filter(([, length]) => length >= dryAllowedLength)
    .map(([id, length]): Edit => [id, 1, Math.fround(-dryMultiplier * dryBase ** (length - dryAllowedLength))])
    .sort((a, b) => a[0] - b[0]);
}

describe("DRY", () => {
  it("penalises the token that would lengthen a repetition, by its length", () => {
    // "1 2 3" stood before, and 4 followed it: 3 tokens, one more than is allowed.
    expect(editsOf([dryOf()], [1, 2, 3, 4, 9, 1, 2, 3])).toEqual([[4, 1, -2]]);
    expect(editsOf([dryOf({ dryAllowedLength: 3 })], [1, 2, 3, 4, 9, 1, 2, 3])).toEqual([[4, 1, -1]]);
    expect(editsOf([dryOf({ dryAllowedLength: 4 })], [1, 2, 3, 4, 9, 1, 2, 3])).toEqual([]);
  });

  it("takes the longest repetition that a token would continue", () => {
    // 4 followed "2 3" and, later, "1 2 3".
    expect(editsOf([dryOf()], [8, 2, 3, 4, 1, 2, 3, 4, 1, 2, 3])).toEqual([[4, 1, -16]]);
  });

  it("counts repetitions that overlap the end", () => {
    expect(editsOf([dryOf()], [5, 5, 5, 5])).toEqual([[5, 1, -2]]);
  });

  it("lets no repetition reach across a breaker", () => {
    expect(editsOf([dryOf({ breakers: [2] })], [1, 2, 3, 5, 4, 9, 1, 2, 3, 5])).toEqual([[4, 1, -1]]);
    expect(editsOf([dryOf({ breakers: [3] })], [1, 2, 3, 4, 9, 1, 2, 3])).toEqual([]);
  });

  it("searches no further back than it may", () => {
    expect(editsOf([dryOf({ dryLastN: 7 })], [1, 2, 3, 4, 9, 1, 2, 3])).toEqual([[4, 1, -1]]);
    expect(editsOf([dryOf({ dryLastN: 4 })], [1, 2, 3, 4, 9, 1, 2, 3])).toEqual([]);
  });

  it("keeps the largest penalties where there is no room for all, beside what others have taken", () => {
    const text = [1, 2, 5, 9, 0, 1, 2, 6, 3, 1, 2, 7, 9, 0, 1, 2];
    expect(editsOf([dryOf()], text)).toEqual([
      [5, 1, -1],
      [6, 1, -4],
      [7, 1, -1],
    ]);
    expect(editsOf([dryOf()], text, 0, 2)).toEqual([
      [5, 1, -1],
      [6, 1, -4],
    ]);
    const bias = new LogitBias(
      new Map([
        [7, 0.5],
        [8, 1],
      ]),
    );
    expect(editsOf([bias, dryOf()], text, 0, 3)).toEqual([
      [6, 1, -4],
      [7, 1, -0.5],
      [8, 1, 1],
    ]);
  });

  it("is its definition on random texts that grow token by token", () => {
    const random = createRandom(8);
    for (let trial = 0; trial < 60; trial++) {
      const numTokens = 2 + random(3);
      const dryCase: DryCase = {
        dryAllowedLength: random(4),
        dryLastN: random(3) === 0 ? 1 + random(30) : -1,
        breakers: random(2) === 0 ? [0] : [],
      };
      const rule = dryOf(dryCase);
      const text: number[] = [];
      for (let length = 1; length <= 40; length++) {
        text.push(random(numTokens));
        expect(editsOf([rule], text)).toEqual(dryByDefinition(text, dryCase));
      }
    }
  });

  it("penalises a repetition of any length by a finite amount", () => {
    const [[, , bias]] = editsOf([dryOf()], new Array<number>(3000).fill(4)) as [Edit];
    expect(bias).toBe(-Math.fround((2 - 2 ** -23) * 2 ** 127));
  });
});

describe("a vocabulary's texts", () => {
  it("tell which tokens hold a breaker and which end a generation", async () => {
    await using source = await openEmbeddedModel();
    const tokenizer = createTokenizer(source.vocabulary!);
    const texts = new VocabularyTexts(tokenizer);
    const isBreaker = texts.breakerTest(["\n", "."]);
    const idsOf = (text: string) => tokenizer.encode(text);
    expect(idsOf("The end.\n").map(isBreaker)).toEqual(idsOf("The end.\n").map((id) => /[.\n]/.test(tokenizer.decode([id, id]))));
    expect(idsOf("The end.\n").some(isBreaker)).toBe(true);
    expect(texts.breakerTest([" "])(idsOf("a the")[1]!)).toBe(true);
    expect(texts.endOfGenerationIds.length).toBeGreaterThan(0);
    expect(texts.endOfGenerationIds.every((id) => tokenizer.isEndOfGeneration(id))).toBe(true);
  });
});

const native = cpuBackendAvailability();
if (!native.available) console.warn(`sampling tests run on the reference alone: ${native.reasons.join("; ")}`);
const createBackend = (id: string): Backend =>
  native.available ? createCpuBackend({ id: `cpu:${id}`, threads: 1 }) : createReferenceBackend({ id: `reference:${id}` });

describe("an engine", () => {
  const backend = createBackend("0");
  const sourcePromise = openRandomModel("llama");
  let engine: LoadedEngine;
  beforeAll(async () => {
    engine = await createTestEngine(await sourcePromise, [backend], { maxSequences: 4, maxLogitEdits: 100 });
  });
  afterAll(async () => {
    await engine[Symbol.asyncDispose]();
    await backend[Symbol.asyncDispose]();
    await (await sourcePromise)[Symbol.asyncDispose]();
  });
  const prompt = randomPrompt(9, 4);

  it("samples no token that is banned, and only the one that is favoured beyond all others", async () => {
    const plain = await complete(engine, { prompt, sampling: greedy, maxTokens: 8, ignoreEos: true });
    const first = plain.tokenIds[0]!;
    const banned = await complete(engine, {
      prompt,
      sampling: greedy,
      maxTokens: 8,
      ignoreEos: true,
      logitBias: plain.tokenIds.map((id) => [id, Number.NEGATIVE_INFINITY]),
    });
    expect(banned.tokenIds.filter((id) => plain.tokenIds.includes(id))).toEqual([]);
    const favoured = await complete(engine, { prompt, maxTokens: 3, ignoreEos: true, logitBias: [[first, 1000]] });
    expect(favoured.tokenIds).toEqual([first, first, first]);
  });

  it("goes on past the end of a generation until the minimum of tokens, and no further", async () => {
    const endOfText = 2;
    const request: GenerateRequest = { prompt, sampling: greedy, maxTokens: 9, logitBias: [[endOfText, 1000]] };
    expect((await complete(engine, request)).tokenIds).toEqual([]);
    const { tokenIds, end } = await complete(engine, { ...request, minTokens: 5 });
    expect(tokenIds.length).toBe(5);
    expect(end).toMatchObject({ reason: "stop", usage: { completionTokens: 6 } });
  });

  it("repeats itself less with DRY", async () => {
    // One token, over and over, is the likeliest by far.
    const request: GenerateRequest = { prompt, sampling: greedy, maxTokens: 12, ignoreEos: true, logitBias: [[77, 30]] };
    expect(new Set((await complete(engine, request)).tokenIds).size).toBe(1);
    const dry = await complete(engine, { ...request, sampling: { temperature: 0, dryMultiplier: 50, drySequenceBreakers: [] } });
    // Two in a row are allowed; a third would lengthen a repetition of two.
    expect(dry.tokenIds.join(" ")).not.toContain("77 77 77 77");
    expect(new Set(dry.tokenIds).size).toBeGreaterThan(1);
  });

  it("carries mirostat's surprise limit from token to token, beginning at twice the target", async () => {
    await using source = await openRandomModel("llama");
    await using scorer = await createTestEngine(source, [backend], { maxScoredTokens: 64 });
    const [tau, eta, seed] = [4, 0.5, 3];
    const sampling = { temperature: 1, mirostatTau: tau, mirostatEta: eta, seed };
    const { tokenIds } = await complete(engine, { prompt, sampling, maxTokens: 24, ignoreEos: true });
    let limit = Math.fround(2 * tau);
    let numCut = 0;
    for await (const { position, logits } of scorer.score({ tokenIds: [...prompt, ...tokenIds], firstPosition: prompt.length - 1 })) {
      const draw = position - (prompt.length - 1);
      if (draw === tokenIds.length) break;
      const ids = Array.from(logits.keys()).sort((a, b) => logits[b]! - logits[a]! || a - b);
      const weights = ids.map((id) => Math.exp(logits[id]! - logits[ids[0]!]!));
      const whole = weights.reduce((sum, weight) => sum + weight, 0);
      const numLeft = Math.max(1, weights.filter((weight) => -Math.log2(weight / whole) <= limit).length);
      numCut += Number(numLeft < ids.length);
      const left = weights.slice(0, numLeft).reduce((sum, weight) => sum + weight, 0);
      let sum = 0;
      const chosen = weights.findIndex((weight) => {
        sum += weight;
        return sum > uniformOf(seed, draw) * left;
      });
      expect(ids[chosen]).toBe(tokenIds[draw]);
      limit = Math.fround(limit - eta * (-Math.log2(weights[chosen]! / left) - tau));
    }
    // The limit is what decided, and it moved.
    expect(numCut).toBeGreaterThan(10);
    expect(Math.abs(limit - 2 * tau)).toBeGreaterThan(0.1);
  });

  it.each<[string, Partial<GenerateRequest>]>([
    ["typicalP", { sampling: { typicalP: 0 } }],
    ["topNSigma", { sampling: { topNSigma: -1 } }],
    ["xtcProbability", { sampling: { xtcProbability: 1.5 } }],
    ["xtcThreshold", { sampling: { xtcThreshold: Number.NaN } }],
    ["mirostatTau", { sampling: { mirostatTau: Number.POSITIVE_INFINITY } }],
    ["mirostatEta", { sampling: { mirostatEta: -0.1 } }],
    ["presencePenalty", { sampling: { presencePenalty: Number.NaN } }],
    ["frequencyPenalty", { sampling: { frequencyPenalty: Number.POSITIVE_INFINITY } }],
    ["penaltyLastN", { sampling: { penaltyLastN: -1 } }],
    ["dryMultiplier", { sampling: { dryMultiplier: -1 } }],
    ["dryBase", { sampling: { dryBase: 0.5 } }],
    ["dryAllowedLength", { sampling: { dryAllowedLength: 1.5 } }],
    ["dryLastN", { sampling: { dryLastN: -2 } }],
    ["drySequenceBreakers", { sampling: { drySequenceBreakers: [""] } }],
    ["seed", { sampling: { seed: 0.5 } }],
    ["temperature", { sampling: { temperature: "hot" as never } }],
    // Infinite in float32.
    ["temperature", { sampling: { temperature: 1e39 } }],
    ["sampling", { sampling: null as never }],
    ["stop", { stop: "end" as never }],
    ["stop", { stop: [1] as never }],
    ["prompt", { prompt: new DataView(new ArrayBuffer(8)) as never }],
    ["forcedTokenIds", { forcedTokenIds: null as never }],
    ["logitBias", { logitBias: [[4096, 1]] }],
    ["logitBias", { logitBias: [[1, Number.POSITIVE_INFINITY]] }],
    ["logitBias", { logitBias: [[1, Number.NaN]] }],
    ["logitBias", { logitBias: { 1: 2 } as never }],
    ["minTokens", { minTokens: -1 }],
    ["minTokens", { minTokens: 5, maxTokens: 4 }],
    // 90 biased and 64 recent tokens, of 256, in room for 100.
    ["logitBias", { logitBias: Array.from({ length: 90 }, (_, id) => [id, 1]), sampling: { presencePenalty: 1 } }],
    ["penaltyLastN", { sampling: { presencePenalty: 1, penaltyLastN: 200 } }],
  ])("refuses a %s that cannot be", async (parameter, changes) => {
    const error = await complete(engine, { prompt, ...changes }).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(InvalidRequestError);
    expect(error).toMatchObject({ code: "invalid-request", parameter });
  });
});

describe("every rule together", () => {
  const requests = Array.from(
    { length: 6 },
    (_, index): GenerateRequest => ({
      prompt: randomPrompt(3 + 7 * index, index),
      maxTokens: 12 + index,
      minTokens: 4,
      ignoreEos: index % 2 === 0,
      logprobs: 3,
      logitBias: [
        [40 + index, 1.5],
        [41, Number.NEGATIVE_INFINITY],
      ],
      sampling: {
        seed: index,
        temperature: 1.2,
        presencePenalty: 0.4,
        frequencyPenalty: 0.2,
        repetitionPenalty: 1.1,
        dryMultiplier: 0.8,
        drySequenceBreakers: ["▁t9"],
        ...(index % 3 === 0 ? { mirostatTau: 3, mirostatEta: 0.2 } : {}),
        ...(index % 3 === 1 ? { typicalP: 0.9, xtcProbability: 0.5, xtcThreshold: 0.05 } : { topNSigma: 2.5 }),
      },
    }),
  );

  it("gives the same tokens alone, together, after preemptions and split over two devices", async () => {
    await using source = await openRandomModel("llama");
    const backends = [createBackend("0"), createBackend("1")];
    const config = readModelConfig(source);
    const [first, second] = backends.map(({ device }) => device.id) as [string, string];
    const placement = new Map(
      listOffloadUnits(source, config).map(({ id, layer }) => [id, [{ device: layer % 2 === 0 ? second : first }]] as const),
    );
    const serve = async (together: boolean, options: Parameters<typeof createTestEngine>[2]) => {
      await using engine = await createTestEngine(source, backends, options);
      const ask = (request: GenerateRequest) => complete(engine, request);
      if (together) return (await Promise.all(requests.map(ask))).map(({ tokenIds, end }) => ({ tokenIds, reason: end.reason }));
      const answers = [];
      for (const request of requests) {
        const { tokenIds, end } = await ask(request);
        answers.push({ tokenIds, reason: end.reason });
      }
      return answers;
    };
    const alone = await serve(false, {});
    expect(alone.every(({ tokenIds }) => tokenIds.length >= 4 && !tokenIds.includes(41))).toBe(true);
    expect(await serve(true, { maxSequences: 6, maxBatchTokens: 16 })).toEqual(alone);
    // Room for two of the longest.
    expect(await serve(true, { maxSequences: 6, contextLength: 64, kvCacheTokens: 128 })).toEqual(alone);
    expect(await serve(true, { maxSequences: 6, placement })).toEqual(alone);
    for (const backend of backends) await backend[Symbol.asyncDispose]();
  });
});
