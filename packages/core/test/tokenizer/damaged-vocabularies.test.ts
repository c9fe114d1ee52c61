import type { Vocabulary } from "@thermocline/spec";
import { describe, expect, it } from "vitest";
import { createTokenizer } from "../../src/tokenizer/index.js";
import { bpeVocabulary, spmVocabulary } from "./support/vocabularies.js";

const bpe = bpeVocabulary(["a b"]);
const spm = spmVocabulary([{ text: "▁" }, { text: "a" }]);
const { merges: _merges, ...withoutMerges } = bpe;

describe("damaged vocabularies", () => {
  it.each<[what: string, vocabulary: Vocabulary, field: string]>([
    ["no tokens", { ...bpe, tokens: [], types: new Uint8Array() }, "tokens"],
    ["fewer types than tokens", { ...bpe, types: new Uint8Array(3) }, "types"],
    ["fewer scores than tokens", { ...spm, scores: new Float32Array(3) }, "scores"],
    ["an eos that is no token", { ...bpe, special: { eos: 100_000 } }, "special.eos"],
    ["a bos that is no id", { ...spm, special: { bos: -1 } }, "special.bos"],
    ["BPE without merges", withoutMerges, "merges"],
    ["a merge of one symbol", { ...bpe, merges: ["ab"] }, "merges"],
    ["a merge with an empty symbol", { ...bpe, merges: ["a "] }, "merges"],
    [
      "neither bytes nor an unknown token",
      { ...spm, tokens: ["▁", "a"], types: Uint8Array.of(1, 1), scores: new Float32Array(2), special: {} },
      "tokens",
    ],
  ])("with %s are refused", (_, vocabulary, field) => {
    expect(() => createTokenizer(vocabulary)).toThrow(expect.objectContaining({ code: "invalid-vocabulary", field }));
  });

  it.each(["unigram"] as const)("of model %s are refused by name, with what is supported", (model) => {
    expect(() => createTokenizer({ ...bpe, model })).toThrow(
      expect.objectContaining({ code: "unsupported-tokenizer", field: "model", value: model, supported: ["spm", "bpe", "wpm"] }),
    );
  });

  it("may hold merges of unknown symbols, repeated merges and equal tokens: the first counts, the rest has no effect", () => {
    const vocabulary = bpeVocabulary(["a b", "□ △", "b a", "a b"], [{ text: "ab" }, { text: "" }]);
    expect(createTokenizer(vocabulary).encode("abab")).toEqual([256, 256]);
  });

  it("may hold scores that are no numbers", () => {
    const vocabulary = spmVocabulary([{ text: "▁" }, { text: "a" }, { text: "aa", score: Number.NaN }, { text: "▁a", score: -1 }]);
    const tokenizer = createTokenizer(vocabulary);
    expect(tokenizer.encode("aaa")).toEqual([262, 261]);
  });
});
