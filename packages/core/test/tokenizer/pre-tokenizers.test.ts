import { describe, expect, it } from "vitest";
import { preTokenizerNamed, splitWords, supportedPreTokenizers } from "../../src/tokenizer/pre-tokenizers.js";
import { createRandom } from "./support/random.js";

function wordsOf(name: string | undefined, text: string): string[] {
  const words: string[] = [];
  splitWords(text, preTokenizerNamed(name), (word) => words.push(word));
  return words;
}

describe("pre-tokenizers", () => {
  it.each<[name: string, text: string, words: string[]]>([
    ["gpt-2", "It's 2024,  ok", ["It", "'s", " 2024", ",", " ", " ok"]],
    ["gpt-2", "I'LL go\n\n x ", ["I", "'", "LL", " go", "\n\n", " x", " "]],
    ["gpt-2", "a\u0085\u00a0b\ufeffc", ["a", "\u0085", "\u00a0", "b", "\ufeff", "c"]],
    ["starcoder", "x 42 y", ["x", " ", "4", "2", " y"]],
    ["llama-bpe", "It'S 20245,  ok", ["It", "'S", " ", "202", "45", ",", " ", " ok"]],
    ["llama-bpe", "a (b)\n\n  c\t", ["a", " (", "b", ")\n\n", " ", " c", "\t"]],
    ["llama-bpe", "\tx .y", ["\tx", " .", "y"]],
    ["qwen2", "It'll be 421", ["It", "'ll", " be", " ", "4", "2", "1"]],
    ["deepseek-llm", "Hi, 世界 12 \n", ["Hi", ",", " ", "世界", " ", "12", " ", "\n"]],
    ["default", "it's 12345", ["it", "'", "s", " ", "123", "45"]],
  ])("%s cuts %j", (name, text, words) => {
    expect(wordsOf(name, text)).toEqual(words);
  });

  it("takes a missing or empty name for the default", () => {
    const text = "it's 12345";
    expect(wordsOf(undefined, text)).toEqual(wordsOf("default", text));
    expect(wordsOf("", text)).toEqual(wordsOf("default", text));
  });

  it("loses nothing of any text", () => {
    const random = createRandom(3);
    for (const name of supportedPreTokenizers) {
      for (let round = 0; round < 40; round++) {
        const text = random.unicodeText(random.below(80));
        const words = wordsOf(name, text);
        expect(words.join(""), name).toBe(text);
        expect(words, name).not.toContain("");
      }
    }
  });

  it("refuses an unknown name and lists the known ones", () => {
    expect(() => preTokenizerNamed("viking")).toThrow(
      expect.objectContaining({ code: "unsupported-tokenizer", field: "pre", value: "viking", supported: supportedPreTokenizers }),
    );
  });
});
