/**
 * BERT's word pieces: text is normalised and cut into words, and each word becomes the longest tokens that fit from its start. The tokens
 * are written as llama.cpp's files have them: "▁" begins a word, what continues one has no mark (there is no "##").
 *
 * Normalisation is the model's own tokenizer's (canonical decomposition, and then no nonspacing marks); a word that no tokens make up is the
 * unknown token as a whole.
 */
import type { Vocabulary } from "@thermocline/spec";
import { InvalidVocabularyError } from "./errors.js";
import type { SegmentEncoder } from "./segment-encoder.js";
import type { TokenTable } from "./token-table.js";
import { WordCache } from "./word-cache.js";

const wordStart = "▁";
/** Control, format and private use characters, but for white space. They vanish, and part no words. */
const invisible = /(?!\p{White_Space})[\ufffd\p{Cc}\p{Cf}\p{Co}]+/gu;
/** CJK ideographs as BERT lists them; 2b920 is what its tokenizer has where Unicode's block begins at 2b820. */
const ideographs = String.raw`\u4e00-\u9fff\u3400-\u4dbf\u{20000}-\u{2a6df}\u{2a700}-\u{2b73f}\u{2b740}-\u{2b81f}\u{2b920}-\u{2ceaf}\uf900-\ufaff\u{2f800}-\u{2fa1f}`;
/** Each is a word of its own: punctuation, ASCII symbols, ideographs. */
const alone = String.raw`\p{P}$+<=>^\x60|~${ideographs}`;
const words = new RegExp(String.raw`[${alone}]|[^\p{White_Space}${alone}]+`, "gu");

export class WpmEncoder implements SegmentEncoder {
  readonly #lowercase: boolean;
  readonly #stripAccents: boolean;
  readonly #unknownId: number;
  readonly #cache = new WordCache();
  /** A trie over UTF-16 code units: node · 65536 + unit to the next node. Node 0 is the root. */
  readonly #children = new Map<number, number>();
  /** Of each node the token that ends there; -1: none. */
  readonly #tokenIds: number[] = [-1];

  /** @throws InvalidVocabularyError */
  constructor(vocabulary: Vocabulary, table: TokenTable) {
    const { lowercase = true, stripAccents = lowercase, special } = vocabulary;
    if (special.unk === undefined) throw new InvalidVocabularyError("special.unk", "is missing");
    this.#lowercase = lowercase;
    this.#stripAccents = stripAccents;
    this.#unknownId = special.unk;
    for (const [text, id] of table.plainTokens()) this.#insert(text, id);
  }

  encodeSegment(text: string, tokenIds: number[]): void {
    for (const [word] of this.#normalize(text).matchAll(words)) {
      let wordIds = this.#cache.get(word);
      if (wordIds === undefined) {
        wordIds = this.#encodeWord(word);
        this.#cache.set(word, wordIds);
      }
      for (const id of wordIds) tokenIds.push(id);
    }
  }

  #normalize(text: string): string {
    let normalized = text.replace(invisible, "");
    if (this.#stripAccents) normalized = normalized.normalize("NFD").replace(/\p{Mn}+/gu, "");
    // Letter by letter, so that a capital sigma at the end of a word is like any other.
    if (this.#lowercase) normalized = normalized.replaceAll("Σ", "σ").toLowerCase();
    return normalized;
  }

  #encodeWord(word: string): readonly number[] {
    const marked = wordStart + word;
    const ids: number[] = [];
    for (let start = 0; start < marked.length; ) {
      let node = 0;
      let id = -1;
      let end = start;
      for (let index = start; index < marked.length; index++) {
        const child = this.#children.get(node * 0x10000 + marked.charCodeAt(index));
        if (child === undefined) break;
        node = child;
        if (this.#tokenIds[node] !== -1) {
          id = this.#tokenIds[node]!;
          end = index + 1;
        }
      }
      if (id === -1) return [this.#unknownId];
      ids.push(id);
      start = end;
    }
    return ids;
  }

  #insert(text: string, id: number): void {
    let node = 0;
    for (let index = 0; index < text.length; index++) {
      const key = node * 0x10000 + text.charCodeAt(index);
      let child = this.#children.get(key);
      if (child === undefined) {
        child = this.#tokenIds.push(-1) - 1;
        this.#children.set(key, child);
      }
      node = child;
    }
    this.#tokenIds[node] = id;
  }
}
