import { describe, expect, it } from "vitest";
import { preTokenizerNamed, splitWords, supportedPreTokenizers } from "../../src/tokenizer/pre-tokenizers.js";
import { createRandom } from "./support/random.js";

function wordsOf(name: string | undefined, text: string): string[] {
  const words: string[] = [];
  splitWords(text, preTokenizerNamed(name), (word) => words.push(word));
  return words;
}

/** Names that mean the same share a splitter. */
const onePerSplitter = [...new Map(supportedPreTokenizers.map((name) => [preTokenizerNamed(name), name])).values()];

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
    ["falcon", "a`b 12345 $", ["a", "`", "b", " ", "123", "45", " ", "$"]],
    ["qwen35", "को 12", ["को", " ", "1", "2"]],
    ["qwen2", "को", ["क", "ो"]],
    ["gpt-4o", "camelCase HTTPServer can't 1234 a/b//\n", ["camel", "Case", " HTTPServer", " can't", " ", "123", "4", " a", "/b", "//\n"]],
    ["tekken", "camelCase can't 12", ["camel", "Case", " can", "'t", " ", "1", "2"]],
    ["llama4", "Élan ÉCOLE", ["Élan", " ÉCOLE"]],
    ["deepseek-v3", "x.foo 12345 世界ab!\n", ["x", ".foo", " ", "123", "45", " ", "世界", "ab", "!\n"]],
    ["deepseek-coder", "if x!=1 世界\n", ["if", " x", "!", "=", "1", " ", "世界", "\n"]],
    ["kimi-k2", "世界abc中1234", ["世界", "abc", "中", "123", "4"]],
    ["superbpe", "to 1234567 a12", ["to ", "1", "234", "567", " a", "12"]],
    ["bloom", "one, two (x)", ["one", ",", " two", " (", "x", ")"]],
    ["viking", "a 12.", ["a", " ", "1", "2", "."]],
    ["seed-coder", "!\n\nx", ["!", "\n\n", "x"]],
    ["bailingmoe", "a\n\n b", ["a", "\n\n", " b"]],
    ["bailingmoe", "a!\n\n", ["a", "!\n\n"]],
    ["chameleon", "IMGIMGABCZ a    b", ["IMGIMGABCZ", " a", "    ", "b"]],
    ["exaone-moe", "a b c1", ["a b c", "1"]],
    ["jais-2", `${" ".repeat(11)}x`, [" ".repeat(8), "  ", " x"]],
    ["youtu", "한국어ABc日本", ["한국어", "ABc", "日本"]],
    ["ufakzeka", "It's", ["It", "'s"]],
    ["ufakzeka", "It'sx", ["It", "'sx"]],
    ["laguna", "a!\nb", ["a", "!", "\n", "b"]],
    ["minicpm5", "a12345", ["a", "123", "45"]],
    ["spark2_5", "a!\nb12", ["a", "!", "\n", "b", "1", "2"]],
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
    for (const name of onePerSplitter) {
      for (let round = 0; round < 40; round++) {
        const text = random.unicodeText(random.below(80));
        const words = wordsOf(name, text);
        expect(words.join(""), name).toBe(text);
        expect(words, name).not.toContain("");
      }
    }
  });

  it("refuses an unknown name and lists the known ones", () => {
    expect(() => preTokenizerNamed("no-such-splitter")).toThrow(
      expect.objectContaining({
        code: "unsupported-tokenizer",
        field: "pre",
        value: "no-such-splitter",
        supported: supportedPreTokenizers,
        cure: expect.stringContaining("kimi-k2"),
      }),
    );
  });

  it.each([
    ["letters", "a".repeat(200_000)],
    ["capitals", "A".repeat(200_000)],
    ["ideographs", "世".repeat(200_000)],
    ["marks", "\u0301".repeat(200_000)],
    ["spaces with a letter behind", `${" ".repeat(200_000)}x`],
    ["line breaks", "\n".repeat(200_000)],
    ["digits", "7".repeat(200_000)],
    ["punctuation", "!".repeat(200_000)],
    ["letters with spaces between", "a ".repeat(100_000)],
  ])("cuts 200,000 characters of %s in linear time", (_, text) => {
    for (const name of onePerSplitter) {
      const start = performance.now();
      let length = 0;
      splitWords(text, preTokenizerNamed(name), (word) => {
        length += word.length;
      });
      expect(length, name).toBe(text.length);
      expect(performance.now() - start, name).toBeLessThan(2000);
    }
  });
});
