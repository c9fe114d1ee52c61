import type { Vocabulary } from "@thermocline/spec";
import { describe, expect, it } from "vitest";
import { createTokenizer } from "../../src/tokenizer/index.js";
import { idOf, wpmVocabulary } from "./support/vocabularies.js";

const vocabulary = wpmVocabulary(["▁hello", "▁play", "ing", "▁cafe", "▁世", "▁!", "▁a", "b", "▁σς", "▁x", "ᅡ", "▁ᄀ"]);
const encoded = (text: string, changes: Partial<Vocabulary> = {}) =>
  createTokenizer({ ...vocabulary, ...changes })
    .encode(text)
    .map((id) => vocabulary.tokens[id]);

describe("word pieces", () => {
  it("takes the longest pieces that fit, and the unknown token for a word that they do not make up", () => {
    expect(encoded("playing")).toEqual(["▁play", "ing"]);
    expect(encoded("playing hello")).toEqual(["▁play", "ing", "▁hello"]);
    expect(encoded("playings hello")).toEqual(["[UNK]", "▁hello"]);
    expect(encoded("ing")).toEqual(["[UNK]"]);
  });

  it("lowers case, takes off marks, and does neither where the vocabulary says so", () => {
    expect(encoded("CAFÉ cafe\u0301")).toEqual(["▁cafe", "▁cafe"]);
    expect(encoded("CAFE", { lowercase: false })).toEqual(["[UNK]"]);
    expect(encoded("café", { lowercase: true, stripAccents: false })).toEqual(["[UNK]"]);
    expect(encoded("café", { lowercase: false, stripAccents: true })).toEqual(["▁cafe"]);
  });

  it("makes every capital sigma a small one, at the end of a word too", () => {
    expect(encoded("ΣΣ")).toEqual(["[UNK]"]);
    expect(encoded("σς")).toEqual(["▁σς"]);
  });

  it("decomposes Hangul whole", () => {
    expect(encoded("가")).toEqual(["▁ᄀ", "ᅡ"]);
  });

  it("makes punctuation and ideographs words of their own, and drops what is invisible", () => {
    expect(encoded("hello!世hello")).toEqual(["▁hello", "▁!", "▁世", "▁hello"]);
    expect(encoded("hel\u200dlo\u0000 \ufffd\u0007hello")).toEqual(["▁hello", "▁hello"]);
    expect(encoded("hello\u00a0\u2028\thello")).toEqual(["▁hello", "▁hello"]);
  });

  it("begins and ends a text with CLS and SEP on request", () => {
    const tokenizer = createTokenizer(vocabulary);
    const ids = tokenizer.encode("hello", { addBos: true, addSep: true });
    expect(ids).toEqual([idOf(vocabulary, "[CLS]"), idOf(vocabulary, "▁hello"), idOf(vocabulary, "[SEP]")]);
    expect(tokenizer.decode(ids)).toBe("hello");
    expect(tokenizer.encode("[CLS] hello", { parseSpecial: true })).toEqual(ids.slice(0, 2));
    expect(tokenizer.encode("[CLS]")).not.toContain(idOf(vocabulary, "[CLS]"));
  });

  it("writes words with spaces between", () => {
    const tokenizer = createTokenizer(vocabulary);
    expect(tokenizer.decode(tokenizer.encode("Playing  Café"))).toBe("playing cafe");
  });

  it("needs little time for a word of a million letters, known or not", () => {
    const tokenizer = createTokenizer(vocabulary);
    const start = performance.now();
    expect(tokenizer.encode(`a${"b".repeat(1_000_000)}`)).toHaveLength(1_000_001);
    expect(tokenizer.encode("x".repeat(1_000_000))).toHaveLength(1);
    expect(tokenizer.encode(" ".repeat(1_000_000))).toHaveLength(0);
    expect(performance.now() - start).toBeLessThan(8000);
  });

  it("refuses a vocabulary without an unknown token", () => {
    expect(() => createTokenizer({ ...vocabulary, special: {} })).toThrow(
      expect.objectContaining({ code: "invalid-vocabulary", field: "special.unk" }),
    );
  });
});
