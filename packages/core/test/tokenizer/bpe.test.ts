import type { Vocabulary } from "@thermocline/spec";
import { describe, expect, it } from "vitest";
import { createTokenizer } from "../../src/tokenizer/index.js";
import { createRandom } from "./support/random.js";
import { bpeVocabulary, byteCharacters, idOf } from "./support/vocabularies.js";

/** Merges of a few letters, so that random words of them meet every order of overlapping pairs. */
const denseMerges = ["a b", "b a", "ab a", "a a", "aa b", "b b", "ab ab", "Ġ a", "Ġa b", "bb aab", "aaba a"];

/** BPE by its definition: again and again the leftmost pair of lowest rank. Bytes in, token texts out. */
function mergeByDefinition(bytes: Uint8Array, merges: readonly string[]): string[] {
  const symbols = Array.from(bytes, (byte) => byteCharacters[byte]!);
  for (;;) {
    const ranks = symbols.slice(1).map((right, index) => merges.indexOf(`${symbols[index]} ${right}`));
    const best = Math.min(...ranks.filter((rank) => rank >= 0));
    if (best === Number.POSITIVE_INFINITY) return symbols;
    const position = ranks.indexOf(best);
    symbols.splice(position, 2, symbols[position]! + symbols[position + 1]!);
  }
}

describe("byte-level BPE", () => {
  it("merges by rank, leftmost first, as the definition says", () => {
    const vocabulary = bpeVocabulary(denseMerges);
    const tokenizer = createTokenizer(vocabulary);
    const random = createRandom(1);
    for (let round = 0; round < 400; round++) {
      const word = Array.from({ length: 1 + random.below(40) }, () => random.pick("aab")).join("");
      const expected = mergeByDefinition(new TextEncoder().encode(word), denseMerges);
      expect(tokenizer.encode(word)).toEqual(expected.map((text) => idOf(vocabulary, text)));
    }
  });

  it("gives random Unicode text back", () => {
    const tokenizer = createTokenizer(bpeVocabulary(denseMerges));
    const random = createRandom(2);
    for (let round = 0; round < 200; round++) {
      const text = random.unicodeText(random.below(60));
      expect(tokenizer.decode(tokenizer.encode(text))).toBe(text);
    }
  });

  it("writes the bytes of a merge whose result is no token", () => {
    const complete = bpeVocabulary(["a b", "ab c"]);
    const tokens = complete.tokens.filter((text) => text !== "ab");
    const vocabulary: Vocabulary = { ...complete, tokens, types: complete.types!.slice(0, tokens.length) };
    const tokenizer = createTokenizer(vocabulary);
    expect(tokenizer.encode("abc")).toEqual([idOf(vocabulary, "abc")]);
    expect(tokenizer.encode("ab")).toEqual([0x61, 0x62]);
  });

  it("takes words that are tokens whole with llama-bpe, and merges them with gpt-2", () => {
    const tokens = [{ text: "xyz" }];
    const llama = bpeVocabulary(["x y"], tokens, { pre: "llama-bpe" });
    expect(createTokenizer(llama).encode("xyz")).toEqual([idOf(llama, "xyz")]);
    const gpt2 = bpeVocabulary(["x y"], tokens);
    expect(createTokenizer(gpt2).encode("xyz")).toEqual([idOf(gpt2, "xy"), 0x7a]);
  });

  it("gives bytes without a token the unknown token, or none", () => {
    const complete = bpeVocabulary([]);
    const lacking = complete.tokens.map((text) => (text === "z" ? "[gone]" : text));
    expect(createTokenizer({ ...complete, tokens: lacking }).encode("azb")).toEqual([0x61, 0x62]);
    const withUnknown = bpeVocabulary([], [{ text: "<unk>", type: "unknown" }]);
    const tokens = withUnknown.tokens.map((text) => (text === "z" ? "[gone]" : text));
    expect(createTokenizer({ ...withUnknown, tokens }).encode("azb")).toEqual([0x61, 256, 0x62]);
  });

  it.each([
    ["one letter", "a".repeat(200_000)],
    ["two letters by turns", "ab".repeat(100_000)],
    ["spaces", " ".repeat(200_000)],
    ["spaces that a word ends", `${" ".repeat(200_000)}x`],
    ["spaces that a digit ends", `${" ".repeat(200_000)}7`],
    ["line breaks", "\n".repeat(200_000)],
    ["spaces and line breaks", " \n".repeat(100_000)],
    ["digits", "7".repeat(200_000)],
    ["quotes", "'".repeat(200_000)],
    ["emoji", "🙂".repeat(50_000)],
  ])("needs little time for 200 KB of %s", (_, text) => {
    for (const pre of ["llama-bpe", "deepseek-llm", "default"]) {
      const tokenizer = createTokenizer(bpeVocabulary([...denseMerges, "Ġ Ġ", "7 7", "' '"], [], { pre }));
      const start = performance.now();
      const tokenIds = tokenizer.encode(text);
      expect(performance.now() - start, pre).toBeLessThan(4000);
      expect(tokenizer.decode(tokenIds) === text, pre).toBe(true);
    }
  });

  it("needs no more than seconds for a word of a million letters", () => {
    const tokenizer = createTokenizer(bpeVocabulary(denseMerges));
    const start = performance.now();
    const tokenIds = tokenizer.encode("a".repeat(1_000_000));
    expect(performance.now() - start).toBeLessThan(10_000);
    expect(tokenIds).toHaveLength(500_000);
  });
});
