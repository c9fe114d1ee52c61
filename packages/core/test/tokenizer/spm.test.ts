import { TokenType, type Vocabulary } from "@thermocline/spec";
import { describe, expect, it } from "vitest";
import { createTokenizer } from "../../src/tokenizer/index.js";
import { createRandom, type Random } from "./support/random.js";
import { idOf, spmVocabulary, type TokenDefinition } from "./support/vocabularies.js";

/** Merging by its definition over the whole text: the best score first, the leftmost of equals. Texts of symbols out. */
function mergeByDefinition(text: string, vocabulary: Vocabulary): string[] {
  const symbols = [...text];
  const scores = new Map(vocabulary.tokens.map((token, id) => [token, vocabulary.scores![id]!]));
  const isPlain = (token: string) => (vocabulary.types![idOf(vocabulary, token)] as number) === TokenType.normal;
  for (;;) {
    let best = -1;
    let bestScore = Number.NEGATIVE_INFINITY;
    for (let index = 0; index + 1 < symbols.length; index++) {
      const joined = symbols[index]! + symbols[index + 1]!;
      const score = scores.get(joined);
      if (score === undefined || !isPlain(joined) || (best !== -1 && score <= bestScore)) continue;
      best = index;
      bestScore = score;
    }
    if (best === -1) return symbols;
    symbols.splice(best, 2, symbols[best]! + symbols[best + 1]!);
  }
}

function idsByDefinition(text: string, vocabulary: Vocabulary): number[] {
  return mergeByDefinition(`▁${text.replaceAll(" ", "▁")}`, vocabulary).flatMap((symbol) => {
    const id = idOf(vocabulary, symbol);
    return id >= 0 ? [id] : Array.from(new TextEncoder().encode(symbol), (byte) => 3 + byte);
  });
}

/** Tokens of two to five characters, some of which are no tokens themselves, spaces inside included. Few scores, so that many are equal. */
function randomTokens(random: Random): TokenDefinition[] {
  const texts = new Set(["▁", "a", "b"]);
  while (texts.size < 40) texts.add(Array.from({ length: 2 + random.below(4) }, () => random.pick(["a", "b", "é", "▁", "🙂"])).join(""));
  return [...texts].map((text) => ({ text, score: -random.below(6) }));
}

describe("SentencePiece with scores", () => {
  it("merges by score over the whole text, as the definition says", () => {
    const random = createRandom(4);
    for (let round = 0; round < 60; round++) {
      const vocabulary = spmVocabulary(randomTokens(random));
      const tokenizer = createTokenizer(vocabulary);
      for (let textIndex = 0; textIndex < 10; textIndex++) {
        const text = Array.from({ length: 1 + random.below(40) }, () => random.pick(["a", "b", "é", " ", "🙂", "c"])).join("");
        expect(tokenizer.encode(text), JSON.stringify(text)).toEqual(idsByDefinition(text, vocabulary));
        expect(tokenizer.decode(tokenizer.encode(text))).toBe(text);
      }
    }
  });

  it("gives random Unicode text back through byte fallback", () => {
    const random = createRandom(5);
    const tokenizer = createTokenizer(spmVocabulary(randomTokens(random)));
    for (let round = 0; round < 200; round++) {
      const text = random.unicodeText(random.below(60)).replaceAll("▁", "_");
      expect(tokenizer.decode(tokenizer.encode(text))).toBe(text);
    }
  });

  it("puts a space before the text only where the vocabulary says so", () => {
    const tokens = [{ text: "▁" }, { text: "a" }, { text: "▁a" }];
    const withPrefix = spmVocabulary(tokens);
    expect(createTokenizer(withPrefix).encode("a")).toEqual([idOf(withPrefix, "▁a")]);
    const without = spmVocabulary(tokens, { addSpacePrefix: false });
    expect(createTokenizer(without).encode("a")).toEqual([idOf(without, "a")]);
    expect(createTokenizer(without).decode(createTokenizer(without).encode(" a"))).toBe(" a");
  });

  it("never merges letters into a control, unknown or byte token", () => {
    const tokens = ["▁", "<", "/", "s", ">", "s>", "/s>", "<0", "x41", "x41>", "<unk", "un", "k"].map((text) => ({ text }));
    const vocabulary = spmVocabulary(tokens);
    const tokenizer = createTokenizer(vocabulary);
    for (const text of ["<s>", "</s>", "<unk>", "<0x41>"]) {
      const tokenIds = tokenizer.encode(text);
      expect(tokenIds).not.toContain(idOf(vocabulary, text));
      expect(tokenizer.decode(tokenIds)).toBe(text);
    }
  });

  it("gives the unknown token where bytes are missing", () => {
    const complete = spmVocabulary([{ text: "▁" }, { text: "a" }]);
    const tokens = complete.tokens.map((text, id) => (complete.types![id] === TokenType.byte ? `[${id}]` : text));
    const types = complete.types!.map((type) => (type === TokenType.byte ? TokenType.normal : type));
    const tokenizer = createTokenizer({ ...complete, tokens, types });
    expect(tokenizer.encode("aéa")).toEqual([idOf(complete, "▁"), idOf(complete, "a"), 0, idOf(complete, "a")]);
  });

  it("knows bytes and special tokens of a vocabulary without types", () => {
    const { types: _, ...vocabulary } = spmVocabulary([{ text: "▁" }, { text: "a" }]);
    const tokenizer = createTokenizer(vocabulary);
    expect(tokenizer.decode(tokenizer.encode("aéa"))).toBe("aéa");
    expect(tokenizer.encode("<s>a", { parseSpecial: true })[0]).toBe(1);
    expect(tokenizer.decode([1, 0, 2])).toBe("");
  });

  it.each([
    ["one letter", "a".repeat(200_000)],
    ["spaces", " ".repeat(200_000)],
    ["line breaks", "\n".repeat(200_000)],
    ["words", "ab a ".repeat(40_000)],
    ["text without spaces", "ab🙂é".repeat(40_000)],
  ])("needs little time for 200 KB of %s", (_, text) => {
    const tokens = ["▁", "▁▁", "▁▁▁▁", "a", "aa", "aaaa", "b", "ab", "aba", "▁a", "▁ab", "bé"];
    const tokenizer = createTokenizer(spmVocabulary(tokens.map((token, index) => ({ text: token, score: -index % 5 }))));
    const start = performance.now();
    const tokenIds = tokenizer.encode(text);
    expect(performance.now() - start).toBeLessThan(4000);
    expect(tokenizer.decode(tokenIds) === text).toBe(true);
  });
});
