/**
 * Byte-level BPE: a pre-tokenizer cuts text into words, the bytes of each word merge by rank. A merged symbol that is no token
 * falls back to the tokens of its bytes, as in llama.cpp. A byte without a token (real vocabularies lack rare ones) becomes the
 * unknown token, or nothing where there is none.
 */
import { TokenType, type Vocabulary } from "@thermocline/spec";
import { bytesOfByteLevelText, charOfByte } from "./byte-alphabet.js";
import { InvalidVocabularyError } from "./errors.js";
import { PairMerger } from "./pair-merger.js";
import { maxRank, PairTable } from "./pair-table.js";
import { type PreTokenizer, preTokenizerNamed, splitWords } from "./pre-tokenizers.js";
import type { SegmentEncoder } from "./segment-encoder.js";
import type { TokenTable } from "./token-table.js";
import { WordCache } from "./word-cache.js";

const utf8 = new TextEncoder();
const missingByte = -1;

export class BpeEncoder implements SegmentEncoder {
  readonly #preTokenizer: PreTokenizer;
  readonly #vocabSize: number;
  readonly #merger: PairMerger;
  readonly #cache = new WordCache();
  readonly #wholeWords: ReadonlyMap<string, number> | undefined;
  readonly #unknownId: number | undefined;
  readonly #symbolOfByte: Int32Array;
  /** Texts of symbols that merges produce and the vocabulary lacks, numbered from `vocabSize`. */
  readonly #extraTexts: string[] = [];

  /** @throws UnsupportedTokenizerError, InvalidVocabularyError */
  constructor(vocabulary: Vocabulary, table: TokenTable) {
    this.#preTokenizer = preTokenizerNamed(vocabulary.pre);
    this.#vocabSize = table.size;
    const tokens = table.plainTokens();
    this.#wholeWords = this.#preTokenizer.ignoresMergesOfWholeTokens ? tokens : undefined;
    this.#unknownId = table.idsOfType(TokenType.unknown)[0];
    this.#symbolOfByte = Int32Array.from(charOfByte, (char) => tokens.get(char) ?? missingByte);
    this.#merger = new PairMerger(this.#buildPairs(vocabulary.merges, tokens));
  }

  encodeSegment(text: string, tokenIds: number[]): void {
    splitWords(text, this.#preTokenizer, (word) => {
      let wordIds = this.#cache.get(word);
      if (wordIds === undefined) {
        wordIds = this.#mergeWord(word);
        this.#cache.set(word, wordIds);
      }
      for (const id of wordIds) tokenIds.push(id);
    });
  }

  #mergeWord(word: string): readonly number[] {
    const bytes = utf8.encode(word);
    if (this.#wholeWords !== undefined) {
      let written = "";
      for (const byte of bytes) written += charOfByte[byte];
      const id = this.#wholeWords.get(written);
      if (id !== undefined) return [id];
    }
    const symbols = new Int32Array(bytes.length);
    for (let index = 0; index < bytes.length; index++) symbols[index] = this.#symbolOfByte[bytes[index]!]!;
    const merged = symbols.subarray(0, this.#merger.merge(symbols, symbols.length));
    const wordIds: number[] = [];
    for (const symbol of merged) {
      if (symbol < this.#vocabSize) this.#pushToken(symbol, wordIds);
      else
        for (const byte of bytesOfByteLevelText(this.#extraTexts[symbol - this.#vocabSize]!))
          this.#pushToken(this.#symbolOfByte[byte]!, wordIds);
    }
    return wordIds;
  }

  #pushToken(symbol: number, tokenIds: number[]): void {
    if (symbol !== missingByte) tokenIds.push(symbol);
    else if (this.#unknownId !== undefined) tokenIds.push(this.#unknownId);
  }

  #buildPairs(merges: readonly string[] | undefined, tokens: ReadonlyMap<string, number>): PairTable {
    if (merges === undefined) throw new InvalidVocabularyError("merges", "is missing");
    if (merges.length > maxRank) throw new InvalidVocabularyError("merges", `has ${merges.length} entries, more than ${maxRank}`);
    const extraSymbols = new Map<string, number>();
    const symbolOf = (text: string) => {
      let symbol = tokens.get(text) ?? extraSymbols.get(text);
      if (symbol === undefined) {
        symbol = this.#vocabSize + this.#extraTexts.push(text) - 1;
        extraSymbols.set(text, symbol);
      }
      return symbol;
    };
    const table = new PairTable(merges.length);
    for (const [rank, merge] of merges.entries()) {
      const cut = merge.indexOf(" ", 1);
      if (cut === -1 || cut === merge.length - 1)
        throw new InvalidVocabularyError("merges", `entry ${rank} is not two symbols: "${merge}"`);
      const left = merge.slice(0, cut);
      const right = merge.slice(cut + 1);
      table.add(symbolOf(left), symbolOf(right), symbolOf(left + right), rank);
    }
    return table;
  }
}
