/** `tokenizer.ggml.*` as a Vocabulary. Defaults where keys are absent are llama.cpp's, which files were written against. */
import { type SpecialToken, TokenType, type Vocabulary } from "@thermocline/spec";
import { GgufFormatError } from "./errors.js";
import type { GgufHeader } from "./header.js";
import type { StringArray } from "./string-array.js";
import type { GgufNumberArray } from "./value-type.js";

type VocabularyModel = Vocabulary["model"];

const models: Readonly<Record<string, VocabularyModel>> = { llama: "spm", gpt2: "bpe", bert: "wpm", t5: "unigram" };

/** The first key that is present and names a token wins. "seperator" is how files spell it. */
const specialKeys: Readonly<Record<SpecialToken, readonly string[]>> = {
  bos: ["bos_token_id"],
  eos: ["eos_token_id"],
  eot: ["eot_token_id"],
  unk: ["unknown_token_id"],
  pad: ["padding_token_id"],
  sep: ["seperator_token_id", "separator_token_id"],
  cls: ["cls_token_id"],
};

const defaultSpecials: Readonly<Record<VocabularyModel, Readonly<Partial<Record<SpecialToken, number>>>>> = {
  spm: { bos: 1, eos: 2, unk: 0 },
  bpe: {},
  wpm: { bos: 101, unk: 100, sep: 102, pad: 0, cls: 101 },
  unigram: { eos: 1, unk: 2, pad: 0 },
};

/** Texts that end a turn in chat models, for files without `eot_token_id`. */
const endOfTurnTexts = ["<|eot_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>", "<|endoftext|>"];

/** BPE vocabularies that expect a begin-of-sequence token although their files need not say so. */
const bpeWithBos: ReadonlySet<string> = new Set([
  ...["llama3", "llama-v3", "llama-bpe", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2", "jina-v5-nano"],
  ...["tekken", "chameleon"],
]);
/** BPE vocabularies whose texts end with a separator. */
const bpeWithSep: ReadonlySet<string> = new Set(["jina-v1-en", "jina-v2-code", "roberta-bpe"]);

/** Undefined where the file has no vocabulary, or one of a model that has no name in `Vocabulary`. */
export function readVocabulary(location: string, header: GgufHeader): Vocabulary | undefined {
  const { metadata } = header;
  const key = (name: string) => `tokenizer.ggml.${name}`;
  const modelName = metadata.get(key("model"));
  const model = typeof modelName === "string" && Object.hasOwn(models, modelName) ? models[modelName] : undefined;
  if (model === undefined) return undefined;

  const fail = (name: string, problem: string): never => {
    const value = metadata.get(key(name));
    const shown = typeof value === "string" || typeof value === "number" ? value : (header.metadataTypes.get(key(name)) ?? "absent");
    throw new GgufFormatError(location, `metadata[${key(name)}].value`, shown, header.metadataByteOffsets.get(key(name)) ?? 0, problem);
  };
  const array = <Value>(name: string, types: readonly string[], length?: number): Value | undefined => {
    const type = header.metadataTypes.get(key(name));
    if (type === undefined) return undefined;
    if (!types.includes(type)) return fail(name, `has type ${type}, expected ${types.join(" or ")}`);
    const value = metadata.get(key(name)) as { readonly length: number };
    if (length !== undefined && value.length !== length) return fail(name, `has ${value.length} elements for ${length} tokens`);
    return value as Value;
  };
  const flag = (name: string, byDefault: boolean): boolean => {
    const value = metadata.get(key(name)) ?? byDefault;
    return typeof value === "boolean" ? value : fail(name, "is no bool");
  };

  const strings = (name: string): StringArray | undefined => {
    const type = header.metadataTypes.get(key(name));
    return type === undefined ? undefined : (metadata.stringArray(key(name)) ?? fail(name, `has type ${type}, expected string[]`));
  };

  const tokens = strings("tokens") ?? fail("tokens", `is missing, for a vocabulary of model "${modelName}"`);
  const types = array<GgufNumberArray>("token_type", ["i32[]", "u32[]", "u8[]", "i8[]"], tokens.length);
  if (types?.some((type: number | bigint) => type < 0 || type > 255)) fail("token_type", "holds a value that is no token type");
  const scores = array<Float32Array | Float64Array>("scores", ["f32[]", "f64[]"], tokens.length);
  const merges = strings("merges");
  const pre = metadata.get(key("pre"));

  const vocabulary = {
    model,
    ...(typeof pre === "string" && { pre }),
    ...(types && { types: Uint8Array.from(types as ArrayLike<number>) }),
    ...(scores && { scores: scores instanceof Float32Array ? scores : Float32Array.from(scores) }),
    special: readSpecials(metadata, key, model, tokens),
    addBos: flag("add_bos_token", model === "spm" || model === "wpm" || (model === "bpe" && bpeWithBos.has(String(pre)))),
    ...(flag("add_eos_token", model === "unigram") && { addEos: true }),
    ...(flag("add_sep_token", model === "wpm" || (model === "bpe" && bpeWithSep.has(String(pre)))) && { addSep: true }),
    addSpacePrefix: flag("add_space_prefix", model === "spm"),
    ...(model === "wpm" && readNormalizer(flag)),
    ...(model === "spm" && isPhi3(metadata) && { stripSpaceAfter: phi3StrippingTokens(tokens.strings, types) }),
  };
  return withStrings(vocabulary, tokens, merges);
}

/** Apart from the rest, so that the getters keep no more of the header than the strings themselves. */
function withStrings(vocabulary: Omit<Vocabulary, "tokens" | "merges">, tokens: StringArray, merges: StringArray | undefined): Vocabulary {
  Object.defineProperty(vocabulary, "tokens", { enumerable: true, get: () => tokens.strings });
  if (merges !== undefined) Object.defineProperty(vocabulary, "merges", { enumerable: true, get: () => merges.strings });
  return vocabulary as Vocabulary;
}

function readNormalizer(flag: (name: string, byDefault: boolean) => boolean) {
  const lowercase = flag("normalizer.lowercase", true);
  return { lowercase, stripAccents: flag("normalizer.strip_accents", lowercase) };
}

/** Files have no key for it: like llama.cpp, by the model's name. */
const isPhi3 = (metadata: ReadonlyMap<string, unknown>) => /phi-?3/i.test(String(metadata.get("general.name")));

/** Phi-3's special tokens swallow the white space behind them, but for these. */
const phi3KeepingTexts: ReadonlySet<string> = new Set(["<unk>", "<s>", "<|endoftext|>"]);

function phi3StrippingTokens(tokens: readonly string[], types: GgufNumberArray | undefined): number[] {
  const specialTypes: readonly number[] = [TokenType.unknown, TokenType.control, TokenType.userDefined];
  const ids: number[] = [];
  for (const [id, text] of tokens.entries()) {
    const isSpecial = text === "</s>" || specialTypes.includes(Number(types?.[id]));
    if (isSpecial && !phi3KeepingTexts.has(text)) ids.push(id);
  }
  return ids;
}

/** Ids outside of the vocabulary are passed over: files use them to say "none". */
function readSpecials(
  metadata: ReadonlyMap<string, unknown>,
  key: (name: string) => string,
  model: VocabularyModel,
  tokens: Pick<StringArray, "length" | "indexOf">,
): Partial<Record<SpecialToken, number>> {
  const special: Partial<Record<SpecialToken, number>> = {};
  const isToken = (id: unknown): id is number => typeof id === "number" && Number.isInteger(id) && id >= 0 && id < tokens.length;
  for (const [name, keys] of Object.entries(specialKeys) as [SpecialToken, readonly string[]][]) {
    // BERT's texts begin with CLS, which files name by either key.
    const allKeys = model === "wpm" && name === "bos" ? [...keys, ...specialKeys.cls] : keys;
    const id = [...allKeys.map((suffix) => metadata.get(key(suffix))), defaultSpecials[model][name]].find(isToken);
    if (id !== undefined) special[name] = id;
  }
  if (special.eot === undefined) {
    for (const text of endOfTurnTexts) {
      const id = tokens.indexOf(text);
      if (id < 0) continue;
      special.eot = id;
      break;
    }
  }
  return special;
}
