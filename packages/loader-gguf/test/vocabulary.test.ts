import { TokenType } from "@thermocline/spec";
import { describe, expect, it } from "vitest";
import { type GgufValue, openGguf } from "../src/index.js";
import { blobOf, errorOf, withGguf } from "./inspect.js";

const u32 = (value: number): GgufValue => ({ type: "u32", value });
const tokens = ["<unk>", "<s>", "</s>", "▁the", "cat"];

function keysOf(entries: Readonly<Record<string, GgufValue>>): [string, GgufValue][] {
  return Object.entries(entries).map(([name, value]) => [`tokenizer.ggml.${name}`, value]);
}

const vocabularyOf = (entries: Readonly<Record<string, GgufValue>>) =>
  withGguf(blobOf({ metadata: keysOf(entries) }), ({ vocabulary }) => vocabulary);

describe("a vocabulary", () => {
  it("has everything that the keys say", async () => {
    const vocabulary = await vocabularyOf({
      model: "gpt2",
      pre: "qwen2",
      tokens: [...tokens, "<|im_end|>"],
      token_type: Int32Array.of(2, 3, 3, 1, 1, 3),
      scores: Float32Array.of(0, 0, 0, -1, -2, 0),
      merges: ["t h", "th e"],
      bos_token_id: u32(1),
      eos_token_id: u32(2),
      eot_token_id: u32(4),
      unknown_token_id: u32(0),
      padding_token_id: u32(3),
      seperator_token_id: u32(2),
      cls_token_id: u32(1),
      add_bos_token: true,
      add_eos_token: true,
      add_sep_token: true,
      add_space_prefix: true,
    });
    expect(vocabulary).toEqual({
      model: "bpe",
      pre: "qwen2",
      tokens: [...tokens, "<|im_end|>"],
      types: Uint8Array.of(TokenType.unknown, TokenType.control, TokenType.control, TokenType.normal, TokenType.normal, TokenType.control),
      scores: Float32Array.of(0, 0, 0, -1, -2, 0),
      merges: ["t h", "th e"],
      special: { bos: 1, eos: 2, eot: 4, unk: 0, pad: 3, sep: 2, cls: 1 },
      addBos: true,
      addEos: true,
      addSep: true,
      addSpacePrefix: true,
    });
  });

  const wpmDefaults = { model: "wpm", addBos: true, addSep: true, addSpacePrefix: false, lowercase: true, stripAccents: true };
  const defaults: readonly [string, object][] = [
    ["llama", { model: "spm", addBos: true, addSpacePrefix: true, special: { bos: 1, eos: 2, unk: 0 } }],
    ["gpt2", { model: "bpe", addBos: false, addSpacePrefix: false, special: {} }],
    ["bert", { ...wpmDefaults, special: { pad: 0 } }],
    ["t5", { model: "unigram", addBos: false, addEos: true, addSpacePrefix: false, special: { eos: 1, unk: 2, pad: 0 } }],
  ];
  it.each(defaults)("of model %s has its defaults where keys are absent", async (model, expected) => {
    expect(await vocabularyOf({ model, tokens })).toEqual({ tokens, ...expected });
  });

  it("of word pieces begins texts with CLS, and says how they are normalised", async () => {
    const vocabulary = await vocabularyOf({ model: "bert", tokens, cls_token_id: u32(3), "normalizer.lowercase": false });
    expect(vocabulary).toMatchObject({ special: { bos: 3, cls: 3 }, lowercase: false, stripAccents: false });
    expect(await vocabularyOf({ model: "bert", tokens, cls_token_id: u32(3), bos_token_id: u32(4) })).toMatchObject({
      special: { bos: 4 },
    });
    const cased = await vocabularyOf({ model: "bert", tokens, "normalizer.lowercase": false, "normalizer.strip_accents": true });
    expect(cased).toMatchObject({ lowercase: false, stripAccents: true });
  });

  it("of Phi-3 drops white space behind its special tokens, but for three", async () => {
    const texts = ["<unk>", "<s>", "</s>", "a", "<|endoftext|>", "<|user|>", "<|end|>"];
    const types = Int32Array.of(2, 3, 1, 1, 3, 3, 4);
    const metadata = [...keysOf({ model: "llama", tokens: texts, token_type: types })];
    const named = (name: string) =>
      withGguf(blobOf({ metadata: [["general.name", name], ...metadata] }), ({ vocabulary }) => vocabulary!.stripSpaceAfter);
    expect(await named("Phi-3 Mini 4k Instruct")).toEqual([2, 5, 6]);
    expect(await named("phi3-medium")).toEqual([2, 5, 6]);
    expect(await named("Llama 2")).toBeUndefined();
  });

  it("follows keys against the defaults", async () => {
    expect(await vocabularyOf({ model: "llama", tokens, add_bos_token: false, add_space_prefix: false })).toMatchObject({
      addBos: false,
      addSpacePrefix: false,
    });
  });

  it("of Llama 3 begins with a token although its file does not say so", async () => {
    expect((await vocabularyOf({ model: "gpt2", pre: "llama-bpe", tokens }))?.addBos).toBe(true);
  });

  it("finds the end of a turn by its text where the key is absent", async () => {
    expect((await vocabularyOf({ model: "gpt2", tokens: ["a", "<|endoftext|>", "<|im_end|>"] }))?.special).toEqual({ eot: 2 });
  });

  it("passes over special ids that name no token", async () => {
    const special = (
      await vocabularyOf({ model: "gpt2", tokens, bos_token_id: u32(5), eos_token_id: u32(4294967295), padding_token_id: u32(4) })
    )?.special;
    expect(special).toEqual({ pad: 4 });
  });

  it.each([{ model: "rwkv", tokens }, { model: "none" }, { tokens }, {}])("is absent in %j", async (entries) => {
    expect(await vocabularyOf(entries as Record<string, GgufValue>)).toBeUndefined();
  });

  const wrong: readonly [string, Readonly<Record<string, GgufValue>>, string][] = [
    ["no tokens", {}, "tokens"],
    ["tokens that are numbers", { tokens: Int32Array.of(1) }, "tokens"],
    ["fewer types than tokens", { tokens, token_type: Int32Array.of(1) }, "token_type"],
    ["a negative type", { tokens, token_type: Int32Array.of(1, 1, 1, 1, -1) }, "token_type"],
    ["types that are strings", { tokens, token_type: ["", "", "", "", ""] }, "token_type"],
    ["fewer scores than tokens", { tokens, scores: Float32Array.of(1) }, "scores"],
    ["merges that are numbers", { tokens, merges: Int32Array.of(1) }, "merges"],
    ["a flag that is a string", { tokens, add_bos_token: "yes" }, "add_bos_token"],
  ];
  it.each(wrong)("with %s is refused", async (_, entries, key) => {
    const error = await errorOf(() => openGguf(blobOf({ metadata: keysOf({ model: "llama", ...entries }) })));
    expect(error).toMatchObject({ code: "invalid-gguf", field: `metadata[tokenizer.ggml.${key}].value` });
  });
});

describe("a chat template", () => {
  it("is the text of its key", async () => {
    const template = "{% for m in messages %}{{ m.content }}{% endfor %}";
    await withGguf(blobOf({ metadata: [["tokenizer.chat_template", template]] }), (source) => expect(source.chatTemplate).toBe(template));
    await withGguf(blobOf({}), (source) => expect(source.chatTemplate).toBeUndefined());
  });
});
