import { describe, expect, it } from "vitest";
import { createTokenizer, type TextTokenizer } from "../../src/tokenizer/index.js";
import { createRandom } from "./support/random.js";
import { bpeVocabulary, hasSharedData, idOf, sharedVocabulary, spmVocabulary } from "./support/vocabularies.js";

function streamed(tokenizer: TextTokenizer, tokenIds: readonly number[]): string[] {
  const decoder = tokenizer.createStreamDecoder();
  return [...tokenIds.map((id) => decoder.push(id)), decoder.end()];
}

function expectStreamsToJoin(tokenizer: TextTokenizer, seed: number): void {
  const random = createRandom(seed);
  for (let round = 0; round < 300; round++) {
    const tokenIds = Array.from({ length: random.below(30) }, () => random.below(tokenizer.vocabSize));
    expect(streamed(tokenizer, tokenIds).join(""), tokenIds.join()).toBe(tokenizer.decode(tokenIds));
  }
}

const spm = spmVocabulary([
  { text: "▁" },
  { text: "a" },
  { text: "▁a" },
  { text: "▁▁" },
  { text: "<tool>", type: "userDefined" },
  { text: "pad", type: "unused" },
]);

describe("decoding", () => {
  it("streams the same text as it decodes at once, whatever the ids", () => {
    expectStreamsToJoin(createTokenizer(bpeVocabulary(["ð Ł", "ðŁ ĺ", "Ã ©"])), 6);
    expectStreamsToJoin(createTokenizer(spm), 7);
  });

  it.runIf(hasSharedData).each(["llama-spm", "gpt-2", "deepseek-llm"])("streams what it decodes with %s", async (name) => {
    expectStreamsToJoin(createTokenizer(await sharedVocabulary(name)), 8);
  });

  it("holds an incomplete character back until its last byte", () => {
    const tokenizer = createTokenizer(bpeVocabulary([]));
    expect(streamed(tokenizer, tokenizer.encode("é🙂"))).toEqual(["", "é", "", "", "", "🙂", ""]);
    expect(streamed(tokenizer, [0xf0, 0x9f])).toEqual(["", "", "\ufffd"]);
    expect(streamed(tokenizer, [0xf0, 0x41])).toEqual(["", "\ufffdA", ""]);
  });

  it("keeps a byte order mark", () => {
    const tokenizer = createTokenizer(bpeVocabulary([]));
    const text = "\ufeffa\ufeff";
    expect(tokenizer.decode(tokenizer.encode(text))).toBe(text);
    expect(streamed(tokenizer, tokenizer.encode(text)).join("")).toBe(text);
  });

  it("turns lone surrogates into U+FFFD", () => {
    for (const vocabulary of [bpeVocabulary([]), spm]) {
      const tokenizer = createTokenizer(vocabulary);
      expect(tokenizer.decode(tokenizer.encode("a\ud83d b\udc00\ud83d\ude42"))).toBe("a\ufffd b\ufffd🙂");
    }
  });

  it("takes away one leading space of the first SPM text, behind special tokens too", () => {
    const tokenizer = createTokenizer(spm);
    const id = (text: string) => idOf(spm, text);
    expect(tokenizer.decode([id("▁a"), id("▁a")])).toBe("a a");
    expect(tokenizer.decode([1, id("▁▁"), id("a")])).toBe(" a");
    expect(tokenizer.decode([1, id("▁a")], { renderSpecial: true })).toBe("<s>a");
    expect(tokenizer.decode([id("<tool>"), id("▁a")])).toBe("<tool> a");
  });

  it("keeps a continuation's space once the prompt's last ids were pushed", () => {
    const decoder = createTokenizer(spm).createStreamDecoder();
    expect(decoder.push(idOf(spm, "▁a"))).toBe("a");
    expect(decoder.push(idOf(spm, "▁a"))).toBe(" a");
  });

  it("prints special tokens on request, and nothing for unused ones and ids that are none", () => {
    const tokenizer = createTokenizer(spm);
    expect(tokenizer.decode([1, idOf(spm, "a"), 2, 0])).toBe("a");
    expect(tokenizer.decode([1, idOf(spm, "a"), 2, 0], { renderSpecial: true })).toBe("<s>a</s><unk>");
    expect(tokenizer.decode([idOf(spm, "pad"), -1, 1e9, 0.5, Number.NaN])).toBe("");
  });
});
