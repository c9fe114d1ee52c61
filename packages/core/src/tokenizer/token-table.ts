/** A vocabulary, checked: what each token is, what it prints, and which texts name tokens. */
import { TokenType, type Vocabulary } from "@thermocline/spec";
import { bytesOfByteLevelText } from "./byte-alphabet.js";
import { InvalidVocabularyError } from "./errors.js";

/**
 * Tokens that end a turn or a text, by their customary names. Whatever type the file gives them they are control tokens (as in
 * llama.cpp): converters often store them as user-defined, and then user text could end a turn.
 */
const endOfTurnTexts: ReadonlySet<string> = new Set([
  "</s>",
  "<|endoftext|>",
  "<|end_of_text|>",
  "<|eot_id|>",
  "<|eom_id|>",
  "<|im_end|>",
  "<|end|>",
  "<|return|>",
  "<|call|>",
  "<end_of_turn>",
  "<end_of_utterance>",
  "<EOT>",
  "_<EOT>",
  "[EOT]",
  "[EOS]",
  "<｜end▁of▁sentence｜>",
]);

const byteTokenPattern = /^<0x([0-9A-Fa-f]{2})>$/;
const noBytes = new Uint8Array();
const utf8 = new TextEncoder();

export class TokenTable {
  readonly size: number;
  readonly texts: readonly string[];
  readonly types: Uint8Array;
  readonly bos: number | undefined;
  readonly eos: number | undefined;
  readonly sep: number | undefined;
  readonly endOfGeneration: ReadonlySet<number>;
  readonly #byteLevel: boolean;
  readonly #pieces: (Uint8Array | undefined)[];

  /** @throws InvalidVocabularyError */
  constructor(vocabulary: Vocabulary) {
    const { tokens, types, special } = vocabulary;
    if (tokens.length === 0) throw new InvalidVocabularyError("tokens", "is empty");
    if (types !== undefined && types.length !== tokens.length)
      throw new InvalidVocabularyError("types", `has ${types.length} entries for ${tokens.length} tokens`);
    for (const name of ["bos", "eos", "eot", "unk", "sep"] as const) {
      const id = special[name];
      if (id !== undefined && !(Number.isInteger(id) && id >= 0 && id < tokens.length))
        throw new InvalidVocabularyError(`special.${name}`, `is ${id}, the vocabulary has ${tokens.length} tokens`);
    }
    this.size = tokens.length;
    this.texts = tokens;
    this.types = types?.slice() ?? inferTypes(vocabulary);
    this.bos = special.bos;
    this.eos = special.eos;
    this.sep = special.sep;
    // A model that samples the beginning of a text has ended the one before: llama2.c's stories know no other end.
    this.endOfGeneration = this.#markEndOfGeneration(special.bos, special.eos, special.eot);
    this.#byteLevel = vocabulary.model === "bpe";
    this.#pieces = new Array<Uint8Array | undefined>(tokens.length);
  }

  /** The tokens that plain text can become: all but control, unknown, byte and empty ones. */
  plainIds(): Int32Array {
    const ids = new Int32Array(this.size);
    let count = 0;
    for (let id = 0; id < this.size; id++) {
      const type = this.types[id];
      const reserved = type === TokenType.control || type === TokenType.unknown || type === TokenType.byte;
      if (!reserved && this.texts[id] !== "") ids[count++] = id;
    }
    return ids.subarray(0, count);
  }

  /** Ids by text, of the tokens that plain text can become. The first of equal texts counts. */
  plainTokens(): Map<string, number> {
    const ids = new Map<string, number>();
    for (const id of this.plainIds()) if (!ids.has(this.texts[id]!)) ids.set(this.texts[id]!, id);
    return ids;
  }

  idsOfType(type: number): number[] {
    const ids: number[] = [];
    for (let id = this.types.indexOf(type); id !== -1; id = this.types.indexOf(type, id + 1)) ids.push(id);
    return ids;
  }

  /** The byte of a token such as `<0x0A>`. */
  byteOf(id: number): number | undefined {
    const match = this.types[id] === TokenType.byte ? byteTokenPattern.exec(this.texts[id]!) : null;
    return match === null ? undefined : Number.parseInt(match[1]!, 16);
  }

  isSpecial(id: number): boolean {
    return this.types[id] === TokenType.control || this.types[id] === TokenType.unknown;
  }

  /** UTF-8 that a token prints, control and unknown tokens as they are written. Unused tokens and ids outside the vocabulary print nothing. */
  bytesOf(id: number): Uint8Array {
    if (!(id >= 0 && id < this.size)) return noBytes;
    this.#pieces[id] ??= this.#makePiece(id);
    return this.#pieces[id];
  }

  #makePiece(id: number): Uint8Array {
    const text = this.texts[id]!;
    switch (this.types[id]) {
      case TokenType.normal:
        return this.#byteLevel ? bytesOfByteLevelText(text) : utf8.encode(text.replaceAll("▁", " "));
      case TokenType.byte: {
        const byte = this.byteOf(id);
        return byte === undefined ? utf8.encode(text) : Uint8Array.of(byte);
      }
      case TokenType.control:
      case TokenType.unknown:
      case TokenType.userDefined:
        return utf8.encode(text);
      default:
        return noBytes;
    }
  }

  #markEndOfGeneration(...special: readonly (number | undefined)[]): ReadonlySet<number> {
    const ids = new Set(special.filter((id) => id !== undefined));
    const texts = new Map<string, number>();
    for (let id = 0; id < this.size; id++) {
      if (!endOfTurnTexts.has(this.texts[id]!)) continue;
      this.types[id] = TokenType.control;
      texts.set(this.texts[id]!, id);
      ids.add(id);
    }
    // OpenAI's harmony format: `<|end|>` closes one message of a turn, `<|return|>` and `<|call|>` the turn.
    const end = texts.get("<|end|>");
    if (end !== undefined && texts.has("<|return|>") && texts.has("<|call|>")) ids.delete(end);
    return ids;
  }
}

/** For files without token types: tokens are normal, but for the special ones and, in SPM, those written like bytes. */
function inferTypes({ model, tokens, special }: Vocabulary): Uint8Array {
  const types = new Uint8Array(tokens.length).fill(TokenType.normal);
  if (model === "spm") for (const [id, text] of tokens.entries()) if (byteTokenPattern.test(text)) types[id] = TokenType.byte;
  if (model !== "bpe" && special.unk !== undefined) types[special.unk] = TokenType.unknown;
  for (const id of [special.bos, special.eos, special.eot, special.sep]) if (id !== undefined) types[id] = TokenType.control;
  return types;
}
