import { defaultSampling } from "@thermocline/spec";
import { describe, expect, it } from "vitest";
import type { StepLimits } from "../src/graph/step-limits.js";
import { KvCache } from "../src/kv-cache/kv-cache.js";
import { type Batch, Scheduler } from "../src/scheduling/scheduler.js";
import { Sequence } from "../src/scheduling/sequence.js";

function limitsOf(changes: Partial<StepLimits> = {}): StepLimits {
  return {
    maxBatchTokens: 16,
    maxSequences: 4,
    maxOutputRows: 4,
    maxScoredTokens: 0,
    contextLength: 64,
    blockSize: 4,
    kvGroups: [{ layers: [0], numBlocks: 16 }],
    maxBlocksPerSequence: 16,
    maxLogitEdits: 8,
    logprobColumns: 3,
    ...changes,
  };
}

let nextId = 0;
function sequenceOf(promptLength: number, maxTokens = 4): Sequence {
  return new Sequence(nextId++, {
    promptTokenIds: Array.from({ length: promptLength }, (_, index) => index),
    sampling: { ...defaultSampling, seed: 0 },
    maxTokens,
    withLogprobs: false,
  });
}

function commit(scheduler: Scheduler, batch: Batch): void {
  scheduler.commit(
    batch,
    batch.filter((entry) => entry.sampled).map(() => 7),
  );
}

const shapeOf = (batch: Batch | undefined) => batch?.map(({ sequence, numTokens, sampled }) => [sequence.id, numTokens, sampled]);

describe("scheduler", () => {
  it("cuts a long prompt into chunks and samples only after the last", () => {
    const limits = limitsOf();
    const scheduler = new Scheduler(limits, new KvCache(limits, { prefixCache: false }));
    const sequence = sequenceOf(35);
    scheduler.add(sequence);
    const chunks: unknown[] = [];
    for (let step = 0; step < 4; step++) {
      const batch = scheduler.schedule()!;
      chunks.push(...shapeOf(batch)!);
      commit(scheduler, batch);
    }
    expect(chunks).toEqual([
      [sequence.id, 16, false],
      [sequence.id, 16, false],
      [sequence.id, 3, true],
      [sequence.id, 1, true],
    ]);
    expect(sequence.tokenIds.length).toBe(37);
  });

  it("mixes decodes, which go first, with a prefill chunk that fills the step", () => {
    const limits = limitsOf();
    const scheduler = new Scheduler(limits, new KvCache(limits, { prefixCache: false }));
    const [long, short] = [sequenceOf(30), sequenceOf(2)];
    scheduler.add(short);
    commit(scheduler, scheduler.schedule()!);
    scheduler.add(long);
    expect(shapeOf(scheduler.schedule())).toEqual([
      [short.id, 1, true],
      [long.id, 15, false],
    ]);
  });

  it("runs no more sequences than it may and lets the others wait in order", () => {
    const limits = limitsOf({ maxSequences: 2 });
    const scheduler = new Scheduler(limits, new KvCache(limits, { prefixCache: false }));
    const sequences = [sequenceOf(2), sequenceOf(2), sequenceOf(2)];
    for (const sequence of sequences) scheduler.add(sequence);
    expect(shapeOf(scheduler.schedule())?.map(([id]) => id)).toEqual([sequences[0]!.id, sequences[1]!.id]);
    scheduler.remove(sequences[0]!);
    expect(shapeOf(scheduler.schedule())?.map(([id]) => id)).toEqual([sequences[1]!.id, sequences[2]!.id]);
  });

  it("takes the blocks of the sequence that came last when none is free, and computes that one again", () => {
    const limits = limitsOf({ kvGroups: [{ layers: [0], numBlocks: 4 }], contextLength: 16, maxBlocksPerSequence: 4 });
    const cache = new KvCache(limits, { prefixCache: false });
    const pool = cache.pools[0]!;
    const scheduler = new Scheduler(limits, cache);
    const [first, second] = [sequenceOf(7, 9), sequenceOf(7, 9)];
    scheduler.add(first);
    scheduler.add(second);
    let preempted = false;
    for (let batch = scheduler.schedule(); batch !== undefined; batch = scheduler.schedule()) {
      commit(scheduler, batch);
      preempted ||= second.numComputedTokens === 0 && second.numGeneratedTokens > 0;
      for (const sequence of [first, second]) if (sequence.numGeneratedTokens >= 9) scheduler.remove(sequence);
    }
    expect(preempted).toBe(true);
    expect([first.numGeneratedTokens, second.numGeneratedTokens]).toEqual([9, 9]);
    expect(pool.numAvailable).toBe(4);
  });

  it("gives no slot of the cache to two sequences, over random arrivals and removals", () => {
    let state = 12345;
    const random = (n: number) => {
      state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
      return state % n;
    };
    const limits = limitsOf({ kvGroups: [{ layers: [0], numBlocks: 24 }] });
    const cache = new KvCache(limits, { prefixCache: false });
    const pool = cache.pools[0]!;
    const scheduler = new Scheduler(limits, cache);
    const live = new Set<Sequence>();
    for (let step = 0; step < 2000; step++) {
      if (random(3) === 0 && live.size < 8) {
        const sequence = sequenceOf(1 + random(40), 1 + random(20));
        live.add(sequence);
        scheduler.add(sequence);
      }
      const batch = scheduler.schedule();
      if (batch === undefined) {
        expect(live.size).toBe(0);
        continue;
      }
      const used = [...live].flatMap((sequence) => sequence.blocks.tables[0] ?? []);
      expect(new Set(used).size).toBe(used.length);
      expect(used.length + pool.numAvailable).toBe(pool.numBlocks);
      expect(batch.reduce((sum, entry) => sum + entry.numTokens, 0)).toBeLessThanOrEqual(limits.maxBatchTokens);
      for (const { sequence, numTokens } of batch)
        expect(sequence.blocks.tables[0]!.length * limits.blockSize).toBeGreaterThanOrEqual(sequence.numComputedTokens + numTokens);
      commit(scheduler, batch);
      for (const sequence of live) {
        if (sequence.numGeneratedTokens < sequence.options.maxTokens && random(50) !== 0) continue;
        live.delete(sequence);
        scheduler.remove(sequence);
      }
    }
  });
});
