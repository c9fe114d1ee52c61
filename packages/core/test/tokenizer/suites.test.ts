import { readFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { createTokenizer } from "../../src/tokenizer/index.js";
import { hasSharedData, sharedCases, sharedData, sharedVocabulary } from "./support/vocabularies.js";

describe.runIf(hasSharedData)("vocabularies of real models", () => {
  describe.each(["llama-spm", "gpt-2", "starcoder", "deepseek-llm"])("%s", (name) => {
    it("gives the ids of llama.cpp's suite and the text back", async () => {
      const tokenizer = createTokenizer(await sharedVocabulary(name));
      const cases = sharedCases(name);
      expect(cases).toHaveLength(46);
      for (const { text, tokenIds } of cases) {
        expect(tokenizer.encode(text), JSON.stringify(text)).toEqual(tokenIds);
        expect(tokenizer.decode(tokenIds)).toBe(text);
      }
    });

    it("encodes the same however much it has encoded before", async () => {
      const vocabulary = await sharedVocabulary(name);
      const used = createTokenizer(vocabulary);
      const text = readFileSync(path.join(sharedData, "wikitext-2-test.txt"), "utf8").slice(0, 200_000);
      const first = used.encode(text);
      expect(used.encode(text)).toEqual(first);
      expect(used.decode(first)).toBe(text);
    });
  });

  it.each(["llama-spm", "gpt-2"])("%s encodes 1.29 MB of WikiText in well under three seconds, from cold caches", async (name) => {
    const vocabulary = await sharedVocabulary(name);
    const text = readFileSync(path.join(sharedData, "wikitext-2-test.txt"), "utf8");
    const seconds = Array.from({ length: 2 }, () => {
      const tokenizer = createTokenizer(vocabulary);
      const start = performance.now();
      tokenizer.encode(text);
      return (performance.now() - start) / 1000;
    });
    expect(Math.min(...seconds)).toBeLessThan(2.6);
  });

  it("bert-bge gives the ids of llama.cpp's suite", async () => {
    const tokenizer = createTokenizer(await sharedVocabulary("bert-bge"));
    const cases = sharedCases("bert-bge");
    expect(cases).toHaveLength(46);
    for (const { text, tokenIds } of cases) expect(tokenizer.encode(text), JSON.stringify(text)).toEqual(tokenIds);
  });
});
