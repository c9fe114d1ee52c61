/**
 * SentencePiece with scores, as llama.cpp runs it: characters merge pairwise into tokens, best score first; what is in no token
 * falls back to its bytes.
 *
 * Control, unknown and byte tokens take no part in merging (llama.cpp lets a control token form where its parts happen to be
 * tokens; SentencePiece does not, and user text must not).
 */
import { TokenType, type Vocabulary } from "@thermocline/spec";
import { InvalidVocabularyError } from "./errors.js";
import { PairMerger, ranksOfScores } from "./pair-merger.js";
import { PairTable } from "./pair-table.js";
import type { SegmentEncoder } from "./segment-encoder.js";
import { TextIndex } from "./text-index.js";
import type { TokenTable } from "./token-table.js";
import { WordCache } from "./word-cache.js";

const space = "▁";
const utf8 = new TextEncoder();

export class SpmEncoder implements SegmentEncoder {
  readonly #addSpacePrefix: boolean;
  readonly #vocabSize: number;
  readonly #merger: PairMerger;
  readonly #cache = new WordCache();
  /** Symbols of single characters: token ids, and from `vocabSize` on numbers for characters that occur only inside longer tokens. */
  readonly #symbolOfCharacter = new Map<string, number>();
  readonly #characterOfSymbol: string[] = [];
  /** Code units after which a token goes on with a space; after any other one, a space begins a word that no merge reaches into. */
  readonly #joinsSpace = new Set<number>();
  readonly #byteIds: readonly (number | undefined)[];
  readonly #unknownId: number | undefined;

  /** @throws InvalidVocabularyError */
  constructor(vocabulary: Vocabulary, table: TokenTable) {
    this.#addSpacePrefix = vocabulary.addSpacePrefix;
    this.#vocabSize = table.size;
    this.#byteIds = byteTokens(table);
    this.#unknownId = table.idsOfType(TokenType.unknown)[0] ?? vocabulary.special.unk;
    if (this.#unknownId === undefined && this.#byteIds.includes(undefined))
      throw new InvalidVocabularyError("tokens", "has neither an unknown token nor a token for every byte");
    this.#merger = new PairMerger(this.#buildPairs(vocabulary.scores, table));
  }

  encodeSegment(text: string, tokenIds: number[]): void {
    const escaped = (this.#addSpacePrefix ? space : "") + text.replaceAll(" ", space);
    let start = 0;
    for (let end = escaped.indexOf(space, 1); end !== -1; end = escaped.indexOf(space, end + 1)) {
      if (this.#joinsSpace.has(escaped.charCodeAt(end - 1))) continue;
      this.#encodeWord(escaped.slice(start, end), tokenIds);
      start = end;
    }
    if (start < escaped.length) this.#encodeWord(escaped.slice(start), tokenIds);
  }

  #encodeWord(word: string, tokenIds: number[]): void {
    let wordIds = this.#cache.get(word);
    if (wordIds === undefined) {
      wordIds = this.#mergeWord(word);
      this.#cache.set(word, wordIds);
    }
    for (const id of wordIds) tokenIds.push(id);
  }

  #mergeWord(word: string): readonly number[] {
    const symbols = new Int32Array(word.length);
    let count = 0;
    for (const character of word) symbols[count++] = this.#symbolOfCharacter.get(character) ?? -1 - character.codePointAt(0)!;
    const merged = symbols.subarray(0, this.#merger.merge(symbols, count));
    const wordIds: number[] = [];
    for (const symbol of merged) {
      if (symbol < 0) this.#pushBytes(String.fromCodePoint(-1 - symbol), wordIds);
      else if (symbol >= this.#vocabSize) this.#pushBytes(this.#characterOfSymbol[symbol - this.#vocabSize]!, wordIds);
      else wordIds.push(symbol);
    }
    return wordIds;
  }

  #pushBytes(character: string, tokenIds: number[]): void {
    const ids = Array.from(utf8.encode(character), (byte) => this.#byteIds[byte]);
    if (ids.includes(undefined)) tokenIds.push(this.#unknownId!);
    else tokenIds.push(...(ids as number[]));
  }

  /** Every way to cut a token in two symbols. A symbol is a token or a single character, since merging passes through nothing else. */
  #buildPairs(scores: Float32Array | undefined, table: TokenTable): PairTable {
    if (scores !== undefined && scores.length !== table.size)
      throw new InvalidVocabularyError("scores", `has ${scores.length} entries for ${table.size} tokens`);
    const ranks = ranksOfScores(scores ?? new Float32Array(table.size));
    const plain = table.plainIds();
    const index = new TextIndex(plain.length + this.#nameCharacters(plain, table));
    for (const id of plain) index.add(table.texts[id]!, id);
    for (const [character, symbol] of this.#symbolOfCharacter) if (symbol >= this.#vocabSize) index.add(character, symbol);
    let numPairs = 0;
    index.forEachCut(() => numPairs++);
    const pairTable = new PairTable(numPairs);
    index.forEachCut((left, right, whole) => pairTable.add(left, right, whole, ranks[whole]!));
    return pairTable;
  }

  /** Gives every character of a token its symbol. Returns how many are no tokens themselves. */
  #nameCharacters(plain: Int32Array, table: TokenTable): number {
    // Characters that are tokens first: any other one becomes a symbol of its own.
    for (const id of plain) {
      const text = table.texts[id]!;
      if (isOneCharacter(text) && !this.#symbolOfCharacter.has(text)) this.#symbolOfCharacter.set(text, id);
    }
    for (const id of plain) {
      const text = table.texts[id]!;
      for (const character of text) {
        if (!this.#symbolOfCharacter.has(character))
          this.#symbolOfCharacter.set(character, this.#vocabSize + this.#characterOfSymbol.push(character) - 1);
      }
      for (let at = text.indexOf(space, 1); at !== -1; at = text.indexOf(space, at + 1)) this.#joinsSpace.add(text.charCodeAt(at - 1));
    }
    return this.#characterOfSymbol.length;
  }
}

const isOneCharacter = (text: string) => text.length === 1 || (text.length === 2 && text.codePointAt(0)! > 0xffff);

function byteTokens(table: TokenTable): (number | undefined)[] {
  const ids = new Array<number | undefined>(256).fill(undefined);
  for (const id of table.idsOfType(TokenType.byte)) {
    const byte = table.byteOf(id);
    if (byte !== undefined) ids[byte] ??= id;
  }
  return ids;
}
