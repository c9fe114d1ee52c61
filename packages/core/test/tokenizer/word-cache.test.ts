import { describe, expect, it } from "vitest";
import { maxCachedWordLength, WordCache } from "../../src/tokenizer/word-cache.js";

describe("the word cache", () => {
  it("holds at most two generations and drops what was not asked for longest", () => {
    const cache = new WordCache(10);
    for (let index = 0; index < 1000; index++) {
      cache.set(`word ${index}`, [index]);
      expect(cache.get("word 0")).toEqual([0]);
      expect(cache.size).toBeLessThanOrEqual(20);
    }
    expect(cache.get("word 999")).toEqual([999]);
    expect(cache.get("word 500")).toBeUndefined();
  });

  it("passes long words over", () => {
    const cache = new WordCache();
    cache.set("a".repeat(maxCachedWordLength), [1]);
    cache.set("a".repeat(maxCachedWordLength + 1), [2]);
    expect(cache.size).toBe(1);
  });
});
