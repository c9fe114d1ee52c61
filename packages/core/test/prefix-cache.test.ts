/** Blocks of earlier requests serve later ones that begin in the same way, and change no bit; the pools lose none and give none twice. */
import { cpuBackendAvailability, createCpuBackend } from "@thermocline/cpu-kernels";
import { createReferenceBackend } from "@thermocline/cpu-kernels/reference";
import { type Backend, defaultSampling, type GenerateRequest } from "@thermocline/spec";
import { describe, expect, it } from "vitest";
import type { KvGroup, StepLimits } from "../src/graph/step-limits.js";
import type { EngineOptions, LoadedEngine } from "../src/index.js";
import { BlockPool } from "../src/kv-cache/block-pool.js";
import { KvCache } from "../src/kv-cache/kv-cache.js";
import { maxBlocksOfWindow } from "../src/kv-cache/kv-groups.js";
import { Scheduler } from "../src/scheduling/scheduler.js";
import { Sequence } from "../src/scheduling/sequence.js";
import { type Completion, complete, createRandom, createTestEngine, greedy, ledgerFor, shuffled } from "./support/embedded-model.js";
import { openRandomModel, type RandomModelName, randomPrompt } from "./support/random-model.js";

const blockSize = 32;

/** Ids and log-probabilities, every bit of them. */
const bitsOf = ({ events }: Completion) =>
  events.flatMap((event) => (event.type === "text-delta" ? [{ tokenIds: event.tokenIds, logprobs: event.logprobs }] : []));
const bitsOfAll = (completions: readonly Completion[]) => completions.map(bitsOf);

const native = cpuBackendAvailability();
if (!native.available) console.warn(`prefix cache tests run on the reference alone: ${native.reasons.join("; ")}`);
const createBackend = (): Backend => (native.available ? createCpuBackend({ threads: 2 }) : createReferenceBackend());

const long = randomPrompt(100, 1);
const asking = (prompt: readonly number[], changes: Partial<GenerateRequest> = {}): GenerateRequest => ({
  prompt,
  sampling: greedy,
  maxTokens: 6,
  ignoreEos: true,
  logprobs: 3,
  ...changes,
});

async function cold(backend: Backend, model: RandomModelName, requests: readonly GenerateRequest[], options: Partial<EngineOptions> = {}) {
  await using source = await openRandomModel(model);
  await using engine = await createTestEngine(source, [backend], { ...options, prefixCache: false });
  const completions: Completion[] = [];
  for (const request of requests) completions.push(await complete(engine, request));
  expect(engine.statistics().kvCaches.every(({ blocksCached }) => blocksCached === 0)).toBe(true);
  expect(completions.every(({ end }) => end.usage.cachedPromptTokens === 0)).toBe(true);
  return completions;
}

describe.each<[string, RandomModelName, Partial<EngineOptions>]>([
  ["llama", "llama", {}],
  ["gemma3, whose layers have windows,", "gemma3", {}],
  ["phi3 with keys in q8_0 and values in q4_0", "phi3", { keyCacheDType: "q8_0", valueCacheDType: "q4_0" }],
])("a conversation on %s", (_, model, kvOptions) => {
  it("finds what its earlier turns computed, and says bit by bit what it says without", async () => {
    await using backend = createBackend();
    const turns = [long.slice(0, 50), long.slice(0, 97), long, long.slice(0, 64), [...long.slice(0, 40), 9, 9, 9]].map((prompt) =>
      asking(prompt, { maxTokens: 3 }),
    );
    const expected = await cold(backend, model, turns, kvOptions);
    const random = createRandom(3);
    await using source = await openRandomModel(model);
    await using engine = await createTestEngine(source, [backend], {
      ...kvOptions,
      // Room for one more sequence than runs, so that nothing has to go.
      kvCacheTokens: 256,
      diagnostics: {
        poisonKvCaches: true,
        poisonDeadActivations: true,
        blockOrder: (numBlocks) => shuffled(numBlocks, random),
      },
    });
    const warm: Completion[] = [];
    for (const turn of turns) warm.push(await complete(engine, turn));
    expect(bitsOfAll(warm)).toEqual(bitsOfAll(expected));
    // Whole blocks, and at least one token is left to compute.
    expect(warm.map(({ end }) => end.usage.cachedPromptTokens)).toEqual([0, 32, 96, 32, 32]);
    const { blocksInUse } = engine.statistics().kvCaches[0]!;
    expect(blocksInUse).toBe(0);
  });
});

describe("the prefix cache", () => {
  it("finds generated tokens too, and saves their steps", async () => {
    await using backend = createBackend();
    await using source = await openRandomModel("llama");
    await using engine = await createTestEngine(source, [backend], { maxBatchTokens: 16 });
    const first = await complete(engine, asking(long.slice(0, 40), { maxTokens: 40 }));
    const whole = [...long.slice(0, 40), ...first.tokenIds];
    const before = engine.statistics();
    const second = await complete(engine, asking(whole, { maxTokens: 2 }));
    // The last token that was generated was never computed.
    expect(second.end.usage).toMatchObject({ promptTokens: 80, cachedPromptTokens: 64 });
    expect(engine.statistics().steps - before.steps).toBe(2);
    expect(bitsOfAll(await cold(backend, "llama", [asking(whole, { maxTokens: 2 })]))).toEqual([bitsOf(second)]);
  });

  it("keeps the prefix that was used last when memory is short", async () => {
    await using backend = createBackend();
    await using source = await openRandomModel("llama");
    // Four blocks: room for three prefixes of one block while a fourth runs.
    await using engine = await createTestEngine(source, [backend], { contextLength: 128 });
    const promptOf = (index: number) => asking(randomPrompt(33, 10 + index), { maxTokens: 1 });
    const cachedOf = async (index: number) => (await complete(engine, promptOf(index))).end.usage.cachedPromptTokens;
    for (const index of [0, 1, 2]) expect(await cachedOf(index)).toBe(0);
    expect(await cachedOf(0)).toBe(blockSize);
    for (const index of [3, 4]) expect(await cachedOf(index)).toBe(0);
    expect(await cachedOf(0)).toBe(blockSize);
    expect(await cachedOf(1)).toBe(0);
    const [kvCache] = engine.statistics().kvCaches;
    expect(kvCache).toMatchObject({ numBlocks: 4, blocksInUse: 0 });
    expect(kvCache!.blocksCached).toBeGreaterThan(0);
  });

  it.each<RandomModelName>(["llama", "gemma3"])(
    "shares blocks of %s among sequences that run at once, through preemptions and aborts",
    async (model) => {
      await using backend = createBackend();
      const random = createRandom(17);
      const requests = Array.from({ length: 12 }, (_, index) =>
        asking([...long.slice(0, 32 * (index % 3) + 5), ...randomPrompt(3, index)], {
          maxTokens: 20,
          sampling: index % 2 === 0 ? greedy : { temperature: 1, seed: index },
        }),
      );
      const expected = await cold(backend, model, requests);
      await using source = await openRandomModel(model);
      const serve = async (engine: LoadedEngine) => {
        const answers = await Promise.all(
          requests.map(async (request, index) => {
            const controller = new AbortController();
            // Some leave and come back: what they had computed may serve them again.
            if (index % 4 === 1) setTimeout(() => controller.abort(), 1 + random(15));
            const answer = await complete(engine, request, controller.signal);
            return answer.end.reason === "abort" ? complete(engine, request) : answer;
          }),
        );
        expect(bitsOfAll(answers)).toEqual(bitsOfAll(expected));
        return answers.reduce((sum, { end }) => sum + end.usage.cachedPromptTokens, 0);
      };
      // Room for two sequences of the longest kind, in memory that begins as NaN.
      await using engine = await createTestEngine(source, [backend], {
        maxSequences: 12,
        maxBatchTokens: 48,
        kvCacheTokens: 256,
        diagnostics: {
          poisonKvCaches: true,
          poisonDeadActivations: true,
          blockOrder: (numBlocks) => shuffled(numBlocks, random),
        },
      });
      let numCached = 0;
      for (let round = 0; round < 3; round++) numCached += await serve(engine);
      expect(numCached).toBeGreaterThan(0);
      expect(engine.statistics().kvCaches[0]!.blocksInUse).toBe(0);
    },
  );

  it("belongs to its model: two on one backend have no prefix in common", async () => {
    await using backend = createBackend();
    const ledger = ledgerFor(backend);
    await using sourceA = await openRandomModel("llama", { seed: 1 });
    await using sourceB = await openRandomModel("llama", { seed: 2 });
    await using engineA = await createTestEngine(sourceA, [backend], { ledger, owner: "a" });
    await using engineB = await createTestEngine(sourceB, [backend], { ledger, owner: "b" });
    await complete(engineA, asking(long));
    const [a, b] = await Promise.all([engineA, engineB].map((engine) => complete(engine, asking(long))));
    expect(a!.end.usage.cachedPromptTokens).toBe(96);
    expect(b!.end.usage.cachedPromptTokens).toBe(0);
    expect(bitsOfAll(await cold(backend, "llama", [asking(long)]))).toEqual([bitsOf(a!)]);
    expect(bitsOf(a!)).not.toEqual(bitsOf(b!));
  });

  it("is off where the engine is made without", async () => {
    await using backend = createBackend();
    await cold(backend, "llama", [asking(long), asking(long)]);
  });
});

describe("a pool of blocks", () => {
  it("hands out blocks that hold nothing first, then the prefix that was not used for longest", () => {
    const pool = new BlockPool(3);
    const [a, b] = [pool.allocate()!, pool.allocate()!];
    pool.keep(a, "a");
    pool.keep(b, "b");
    pool.release(b);
    pool.release(a);
    expect([pool.numInUse, pool.numCached, pool.numAvailable]).toEqual([0, 2, 3]);
    expect(pool.allocate()).toBe(2);
    pool.release(pool.share("b"));
    expect(pool.allocate()).toBe(a);
    expect([pool.has("a"), pool.has("b")]).toEqual([false, true]);
  });

  it("gives no block that somebody holds, and takes none back twice", () => {
    const pool = new BlockPool(1);
    const block = pool.allocate()!;
    pool.keep(block, "a");
    expect(pool.share("a")).toBe(block);
    pool.release(block);
    expect(pool.allocate()).toBeUndefined();
    pool.release(block);
    expect(() => pool.release(block)).toThrow(/not in use/);
    expect(pool.allocate()).toBe(block);
    expect(pool.has("a")).toBe(false);
  });
});

/** A cache that remembers, for each slot of each group, the tokens up to the one that was written there: what it would hold on a device. */
class SlotContents {
  readonly #contents: Map<number, number>[];
  /** Numbers texts: a text's number follows from its last token's and the number of what is before it. */
  readonly #prefixIds = new Map<string, number>();

  constructor(private readonly limits: StepLimits) {
    this.#contents = limits.kvGroups.map(() => new Map());
  }

  #prefixesOf(tokenIds: readonly number[]): readonly number[] {
    let prefix = 0;
    return tokenIds.map((tokenId) => {
      const key = `${prefix} ${tokenId}`;
      prefix = this.#prefixIds.get(key) ?? this.#prefixIds.size + 1;
      this.#prefixIds.set(key, prefix);
      return prefix;
    });
  }

  /** Checks that every token which the next ones see is there, writes these, and checks that nobody else holds what is written. */
  compute(sequence: Sequence, numTokens: number, holders: readonly Map<number, number>[]): void {
    const { tokenIds, numComputedTokens, blocks } = sequence;
    const end = numComputedTokens + numTokens;
    const prefixes = this.#prefixesOf(tokenIds);
    const faults: string[] = [];
    this.limits.kvGroups.forEach(({ slidingWindow = Number.POSITIVE_INFINITY }, group) => {
      const contents = this.#contents[group]!;
      const slotOf = (position: number) => {
        const block = blocks.tables[group]![Math.floor(position / this.limits.blockSize)]!;
        if (!(block >= 0)) faults.push(`position ${position} has no block`);
        return block * this.limits.blockSize + (position % this.limits.blockSize);
      };
      for (let position = numComputedTokens; position < end; position++) {
        const slot = slotOf(position);
        if (holders[group]!.get(Math.floor(slot / this.limits.blockSize)) !== 1)
          faults.push(`position ${position} is written in a shared block`);
        contents.set(slot, prefixes[position]!);
      }
      const firstSeen = Math.max(0, numComputedTokens - slidingWindow + 1);
      for (let position = firstSeen; position < end; position++)
        if (contents.get(slotOf(position)) !== prefixes[position]) faults.push(`position ${position} holds another text`);
    });
    expect(faults).toEqual([]);
  }
}

const groupSets: Record<string, (sizes: Pick<StepLimits, "blockSize" | "maxBatchTokens" | "maxBlocksPerSequence">) => readonly KvGroup[]> =
  {
    "layers that see everything": () => [{ layers: [0], numBlocks: 24 }],
    "layers with windows beside layers without": (sizes) => [
      { layers: [0], numBlocks: 24 },
      { slidingWindow: 6, layers: [1], numBlocks: 2 * maxBlocksOfWindow(6, sizes) },
      { slidingWindow: 11, layers: [2], numBlocks: maxBlocksOfWindow(11, sizes) },
    ],
    "layers with windows alone": (sizes) => [{ slidingWindow: 9, layers: [0], numBlocks: maxBlocksOfWindow(9, sizes) }],
  };

describe.each(Object.keys(groupSets))("random arrivals, removals and scorings over %s", (name) => {
  it("see the tokens before them and no others, and leak no block", () => {
    const random = createRandom(99);
    const sizes = { blockSize: 4, maxBatchTokens: 16, maxBlocksPerSequence: 16 };
    const limits: StepLimits = {
      ...sizes,
      maxSequences: 4,
      maxOutputRows: 4,
      maxScoredTokens: 8,
      contextLength: 64,
      kvGroups: groupSets[name]!(sizes),
      maxLogitEdits: 8,
      logprobColumns: 3,
    };
    const cache = new KvCache(limits, { blockOrder: (numBlocks) => shuffled(numBlocks, random) });
    const scheduler = new Scheduler(limits, cache);
    const contents = new SlotContents(limits);
    const live = new Set<Sequence>();
    let scored: { sequence: Sequence; nextPosition: number } | undefined;
    let nextId = 0;
    // Texts of few tokens that begin in few ways, so that prefixes are found often.
    const beginnings = Array.from({ length: 3 }, () => Array.from({ length: 40 }, () => random(2)));
    const sequenceOf = (length: number, maxTokens: number) =>
      new Sequence(nextId++, {
        promptTokenIds: Array.from({ length }, (_, index) => (index < length - 2 ? beginnings[nextId % 3]![index]! : random(2))),
        sampling: { ...defaultSampling, seed: 0 },
        maxTokens,
        withLogprobs: false,
      });
    /** Who holds each block, by the sequences' own tables; and what the pools say must agree. */
    const countHolders = () =>
      cache.pools.map((pool, group) => {
        const holders = new Map<number, number>();
        for (const { blocks } of [...live, ...(scored === undefined ? [] : [scored.sequence])]) {
          const held = (blocks.tables[group] ?? []).filter((block) => block >= 0);
          const { slidingWindow } = limits.kvGroups[group]!;
          if (slidingWindow !== undefined) expect(held.length).toBeLessThanOrEqual(maxBlocksOfWindow(slidingWindow, limits));
          for (const block of held) holders.set(block, (holders.get(block) ?? 0) + 1);
        }
        expect(pool.numInUse).toBe(holders.size);
        expect(pool.numAvailable).toBe(pool.numBlocks - holders.size);
        return holders;
      });

    const seen = { cached: 0, shared: 0, preempted: 0, scored: 0, cancelled: 0 };
    for (let step = 0; step < 1000; step++) {
      if (random(3) === 0 && live.size < 8) {
        const sequence = sequenceOf(3 + random(38), 1 + random(20));
        live.add(sequence);
        scheduler.add(sequence);
      }
      if (scored === undefined && random(20) === 0) {
        const sequence = sequenceOf(3 + random(38), 0);
        scored = { sequence, nextPosition: random(sequence.tokenIds.length) };
      }
      const isCancelled = random(12) === 0;
      const scoringStep =
        scored !== undefined && random(2) === 0 ? scheduler.scheduleScoring(scored.sequence, scored.nextPosition) : undefined;
      if (scoringStep !== undefined && scored !== undefined) {
        contents.compute(scoringStep.sequence, scoringStep.numTokens, countHolders());
        expect(scoringStep.numScored).toBeLessThanOrEqual(limits.maxScoredTokens);
        if (isCancelled) {
          seen.cancelled++;
          continue;
        }
        scheduler.commitScoring(scoringStep);
        if (scoringStep.numScored > 0) {
          expect(scoringStep.sequence.numComputedTokens - scoringStep.numScored).toBe(scored.nextPosition);
          scored.nextPosition += scoringStep.numScored;
        }
        seen.scored += scoringStep.numScored;
        if (scored.nextPosition === scored.sequence.tokenIds.length || random(30) === 0) {
          scheduler.remove(scored.sequence);
          scored = undefined;
        }
        countHolders();
        continue;
      }
      const computedBefore = [...live].map(({ numComputedTokens }) => numComputedTokens);
      const batch = scheduler.schedule();
      if (batch === undefined) {
        expect(live.size).toBe(0);
        continue;
      }
      seen.preempted += [...live].filter(({ numComputedTokens }, index) => numComputedTokens < computedBefore[index]!).length;
      const holders = countHolders();
      if (holders.some((counts) => [...counts.values()].some((count) => count > 1))) seen.shared++;
      expect(batch.reduce((sum, entry) => sum + entry.numTokens, 0)).toBeLessThanOrEqual(limits.maxBatchTokens);
      for (const { sequence, numTokens } of batch) contents.compute(sequence, numTokens, holders);
      if (isCancelled) {
        seen.cancelled++;
        continue;
      }
      scheduler.commit(
        batch,
        batch.filter(({ sampled }) => sampled).map(() => random(2)),
      );
      for (const sequence of live) {
        if (sequence.numGeneratedTokens < sequence.options.maxTokens && random(50) !== 0) continue;
        seen.cached += sequence.numCachedPromptTokens ?? 0;
        live.delete(sequence);
        scheduler.remove(sequence);
      }
      countHolders();
    }
    for (const sequence of [...live, ...(scored === undefined ? [] : [scored.sequence])]) scheduler.remove(sequence);
    for (const pool of cache.pools) expect([pool.numInUse, pool.numAvailable]).toEqual([0, pool.numBlocks]);
    for (const count of Object.values(seen)) expect(count).toBeGreaterThan(0);
  });
});
