import { describe, expect, it } from "vitest";
import { createTokenizer } from "../../src/tokenizer/index.js";
import { bpeVocabulary, idOf, spmVocabulary } from "./support/vocabularies.js";

const chatVocabulary = bpeVocabulary(
  ["h i"],
  [
    { text: "<s>", type: "control" },
    { text: "<|im_start|>", type: "control" },
    { text: "<|im_end|>", type: "control" },
    { text: "<|im_end|>\n", type: "control" },
    { text: "<think>", type: "userDefined" },
    { text: "<unk>", type: "unknown" },
    { text: "    ", type: "userDefined" },
    { text: "  ", type: "userDefined" },
  ],
  { special: { bos: 257, eos: 259 } },
);
const tokenizer = createTokenizer(chatVocabulary);
const id = (text: string) => idOf(chatVocabulary, text);

describe("special tokens", () => {
  it("are text unless asked for", () => {
    const text = "<|im_end|>hi<unk><s>";
    const tokenIds = tokenizer.encode(text);
    for (const special of tokenizer.specialTokens.values()) expect(tokenIds).not.toContain(special);
    expect(tokenizer.decode(tokenIds)).toBe(text);
  });

  it("are parsed when asked for", () => {
    expect(tokenizer.encode("<|im_start|>hi<|im_end|><unk>", { parseSpecial: true })).toEqual([
      id("<|im_start|>"),
      id("hi"),
      id("<|im_end|>"),
      id("<unk>"),
    ]);
  });

  it("that are user-defined are found in any text", () => {
    expect(tokenizer.encode("<think>hi")).toEqual([id("<think>"), id("hi")]);
  });

  it("match leftmost, then longest", () => {
    expect(tokenizer.encode("<|im_end|>\n", { parseSpecial: true })).toEqual([id("<|im_end|>\n")]);
    expect(tokenizer.encode("       ")).toEqual([id("    "), id("  "), 0x20]);
    expect(tokenizer.encode("<<|im_end|", { parseSpecial: true })).toEqual(Array.from(new TextEncoder().encode("<<|im_end|")));
  });

  it("stay text where a user's characters take part in them", () => {
    const text = "<|im_end|><|im_end|>";
    const userText = Uint8Array.from({ length: text.length }, (_, index) => (index === 15 ? 1 : 0));
    const tokenIds = tokenizer.encode(text, { parseSpecial: true, userText });
    expect(tokenIds[0]).toBe(id("<|im_end|>"));
    expect(tokenIds.slice(1)).not.toContain(id("<|im_end|>"));
    expect(tokenizer.decode(tokenIds, { renderSpecial: true })).toBe(text);
  });

  it("begin a text with BOS on request, an empty one too", () => {
    expect(tokenizer.encode("")).toEqual([]);
    expect(tokenizer.encode("", { addBos: true })).toEqual([257]);
    expect(tokenizer.encode("hi", { addBos: true })).toEqual([257, id("hi")]);
    expect(createTokenizer(bpeVocabulary([])).encode("a", { addBos: true })).toEqual([0x61]);
  });

  it("end a text with EOS and the separator on request", () => {
    const vocabulary = bpeVocabulary(
      ["h i"],
      [
        { text: "<e>", type: "control" },
        { text: "<sep>", type: "control" },
      ],
      {
        special: { eos: 257, sep: 258 },
      },
    );
    expect(createTokenizer(vocabulary).encode("hi", { addEos: true, addSep: true })).toEqual([256, 257, 258]);
    expect(createTokenizer(bpeVocabulary([])).encode("a", { addEos: true, addSep: true })).toEqual([0x61]);
  });

  it("swallow the white space behind them where the vocabulary says so", () => {
    const vocabulary = spmVocabulary(
      [{ text: "▁" }, { text: "a" }, { text: "▁a" }, { text: "<|user|>", type: "control" }, { text: "\n", type: "userDefined" }],
      {},
    );
    const user = idOf(vocabulary, "<|user|>");
    const stripping = createTokenizer({ ...vocabulary, stripSpaceAfter: [user] });
    expect(stripping.encode("<|user|>\n  a</s> a", { parseSpecial: true })).toEqual([
      user,
      idOf(vocabulary, "▁a"),
      2,
      idOf(vocabulary, "▁"),
      idOf(vocabulary, "▁a"),
    ]);
    expect(stripping.encode("<|user|> \n", { parseSpecial: true })).toEqual([user]);
    expect(createTokenizer(vocabulary).encode("<|user|>\na", { parseSpecial: true })).toContain(idOf(vocabulary, "\n"));
  });

  it("get a space after them in SPM, as llama.cpp's do", () => {
    const vocabulary = spmVocabulary([{ text: "▁" }, { text: "a" }, { text: "▁a" }]);
    expect(createTokenizer(vocabulary).encode("a</s>a", { parseSpecial: true })).toEqual([
      idOf(vocabulary, "▁a"),
      2,
      idOf(vocabulary, "▁a"),
    ]);
  });

  it("that end a turn are control tokens whatever the file says", () => {
    const vocabulary = bpeVocabulary(
      [],
      [
        { text: "<|im_end|>", type: "userDefined" },
        { text: "<|end|>", type: "control" },
      ],
    );
    const ending = createTokenizer(vocabulary);
    expect(ending.encode("<|im_end|>")).not.toContain(256);
    expect(ending.encode("<|im_end|>", { parseSpecial: true })).toEqual([256]);
    expect(ending.decode([256])).toBe("");
  });

  it("that end generation are eos, eot, the beginning of another text, and the customary names", () => {
    const ends = (texts: readonly string[], special = {}) => {
      const vocabulary = bpeVocabulary(
        [],
        texts.map((text) => ({ text, type: "control" as const })),
        { special },
      );
      const made = createTokenizer(vocabulary);
      return texts.filter((text) => made.isEndOfGeneration(idOf(vocabulary, text)));
    };
    expect(ends(["<bos>", "<stop>", "<|eot_id|>", "<x>"], { eos: 257 })).toEqual(["<stop>", "<|eot_id|>"]);
    expect(ends(["<a>", "<b>"], { eot: 256 })).toEqual(["<a>"]);
    expect(ends(["<a>", "<b>"], { bos: 256 })).toEqual(["<a>"]);
    expect(ends(["<|im_end|>", "<|endoftext|>", "<end_of_turn>", "<|end|>"])).toHaveLength(4);
    expect(ends(["<|end|>", "<|return|>", "<|call|>"])).toEqual(["<|return|>", "<|call|>"]);
    expect(tokenizer.isEndOfGeneration(-1)).toBe(false);
  });

  it("are found fast even when there are thousands, and text is full of their beginnings", () => {
    const reserved = Array.from({ length: 5000 }, (_, index) => ({
      text: `<|reserved_special_token_${index}|>`,
      type: "control" as const,
    }));
    const vocabulary = bpeVocabulary([], reserved);
    const many = createTokenizer(vocabulary);
    const text = "<|reserved_special_token_".repeat(8000);
    const start = performance.now();
    const tokenIds = many.encode(`${text}<|reserved_special_token_4999|>`, { parseSpecial: true });
    expect(performance.now() - start).toBeLessThan(5000);
    expect(tokenIds.at(-1)).toBe(256 + 4999);
    expect(tokenIds).toHaveLength(text.length + 1);
  });
});
