/** Small vocabularies written out by hand, and the large ones of the shared data. */
import { existsSync, readFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { openGguf } from "@thermocline/loader-gguf";
import { TokenType, type Vocabulary } from "@thermocline/spec";

const repositoryRoot = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../../../../..");
export const sharedData = path.resolve(repositoryRoot, "../shared/data");
export const hasSharedData = existsSync(path.join(sharedData, "tokenizers"));
if (!hasSharedData) console.warn("tokenizer suites skipped: ../shared/data/tokenizers is not there");

const ggufPath = (name: string) => path.join(sharedData, "tokenizers", `ggml-vocab-${name}.gguf`);

export async function sharedVocabulary(name: string): Promise<Vocabulary> {
  await using source = await openGguf(ggufPath(name));
  return source.vocabulary!;
}

/** Texts and the ids that an independent tokenizer gave them. The format is in the shared data's README. */
export function sharedCases(name: string): { readonly text: string; readonly tokenIds: readonly number[] }[] {
  const texts = readFileSync(`${ggufPath(name)}.inp`, "utf8")
    .split("\n__ggml_vocab_test__\n")
    .slice(0, -1);
  const lines = readFileSync(`${ggufPath(name)}.out`, "utf8").split("\n");
  return texts.map((text, index) => ({ text, tokenIds: (lines[index]!.match(/\d+/g) ?? []).map(Number) }));
}

export interface TokenDefinition {
  readonly text: string;
  readonly type?: keyof typeof TokenType;
  readonly score?: number;
}

const typesOf = (tokens: readonly TokenDefinition[]) => Uint8Array.from(tokens, ({ type = "normal" }) => TokenType[type]);

/** 256 byte tokens after `<unk>`, `<s>` and `</s>`, then `tokens`. */
export function spmVocabulary(tokens: readonly TokenDefinition[], changes: Partial<Vocabulary> = {}): Vocabulary {
  const bytes = Array.from({ length: 256 }, (_, byte): TokenDefinition => {
    return { text: `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`, type: "byte" };
  });
  const all: TokenDefinition[] = [
    { text: "<unk>", type: "unknown" },
    { text: "<s>", type: "control" },
    { text: "</s>", type: "control" },
    ...bytes,
    ...tokens,
  ];
  return {
    model: "spm",
    tokens: all.map(({ text }) => text),
    types: typesOf(all),
    scores: Float32Array.from(all, ({ score = 0 }) => score),
    special: { bos: 1, eos: 2, unk: 0 },
    addBos: true,
    addSpacePrefix: true,
    ...changes,
  };
}

/** GPT-2's characters for the bytes, in order of the bytes: derived here from the published rule, apart from the code under test. */
export const byteCharacters: readonly string[] = (() => {
  const isPrintable = (byte: number) => byte > 0x20 && byte !== 0x7f && !(byte >= 0x80 && byte <= 0xa0) && byte !== 0xad;
  const hidden = Array.from({ length: 256 }, (_, byte) => byte).filter((byte) => !isPrintable(byte));
  return Array.from({ length: 256 }, (_, byte) => String.fromCodePoint(isPrintable(byte) ? byte : 0x100 + hidden.indexOf(byte)));
})();

/** The 256 bytes as tokens 0 to 255, then the results of the merges, then `tokens`. */
export function bpeVocabulary(
  merges: readonly string[],
  tokens: readonly TokenDefinition[] = [],
  changes: Partial<Vocabulary> = {},
): Vocabulary {
  const merged = [...new Set(merges.map((merge) => merge.replace(" ", "")))];
  const all: TokenDefinition[] = [...[...byteCharacters, ...merged].map((text) => ({ text })), ...tokens];
  return {
    model: "bpe",
    pre: "gpt-2",
    tokens: all.map(({ text }) => text),
    types: typesOf(all),
    merges,
    special: {},
    addBos: false,
    addSpacePrefix: false,
    ...changes,
  };
}

/** `[PAD]`, `[UNK]`, `[CLS]` and `[SEP]`, then `tokens`, written as GGUF files write word pieces. */
export function wpmVocabulary(tokens: readonly string[]): Vocabulary {
  const all: TokenDefinition[] = [
    { text: "[PAD]", type: "control" },
    { text: "[UNK]", type: "unknown" },
    { text: "[CLS]", type: "control" },
    { text: "[SEP]", type: "control" },
    ...tokens.map((text) => ({ text })),
  ];
  return {
    model: "wpm",
    tokens: all.map(({ text }) => text),
    types: typesOf(all),
    special: { pad: 0, unk: 1, bos: 2, cls: 2, sep: 3 },
    addBos: true,
    addSep: true,
    addSpacePrefix: false,
  };
}

export const idOf = (vocabulary: Vocabulary, text: string) => vocabulary.tokens.indexOf(text);
