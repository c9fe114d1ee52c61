/** The tokenizer of a vocabulary: special tokens, then the family's encoder; ids back to text, at once or as they come. */
import { type EncodeOptions, type StreamDecoder, type Tokenizer, TokenType, type Vocabulary } from "@thermocline/spec";
import { BpeEncoder } from "./bpe.js";
import { UnsupportedTokenizerError } from "./errors.js";
import type { SegmentEncoder } from "./segment-encoder.js";
import { SpecialTokenMatcher } from "./special-tokens.js";
import { SpmEncoder } from "./spm.js";
import { TokenTable } from "./token-table.js";
import { WpmEncoder } from "./wpm.js";

export interface TextEncodeOptions extends EncodeOptions {
  /**
   * With `parseSpecial`: one entry for each UTF-16 code unit of the text, 1 where the user wrote it. Control tokens that would
   * reach into such a place stay text.
   */
  readonly userText?: Uint8Array;
}

export interface TextTokenizer extends Tokenizer {
  /**
   * Lone surrogates become U+FFFD. User-defined tokens are found in any text, as in llama.cpp; control and unknown tokens only with
   * `parseSpecial`. `addBos`, `addEos` and `addSep` add nothing where the vocabulary names no such token.
   */
  encode(text: string, options?: TextEncodeOptions): number[];
  /**
   * What its pieces join to is `decode` of the ids. To go on from a prompt, push the prompt's last ids first and drop what comes
   * back: the continuation then keeps the space that its first SPM token begins with, and completes a character of which the
   * prompt holds the first bytes.
   */
  createStreamDecoder(): StreamDecoder;
  /** Control and unknown tokens by text, for whoever has to keep them out of user text. */
  readonly specialTokens: ReadonlyMap<string, number>;
  readonly bosTokenId: number | undefined;
}

const supportedModels = ["spm", "bpe", "wpm"];

/**
 * A tokenizer with the ids of llama.cpp, but for special tokens that overlap: the leftmost one is taken, then the longest, and
 * control tokens never form by merging.
 *
 * Decoding SPM with `addSpacePrefix`, and WPM, takes away the one space that encoding put before the text: the first token with text,
 * special tokens left out, loses a leading space. Ids outside the vocabulary have no text. WPM loses case, marks and white space.
 *
 * @throws UnsupportedTokenizerError for another model or pre-tokenizer; InvalidVocabularyError for a damaged vocabulary
 */
export function createTokenizer(vocabulary: Vocabulary): TextTokenizer {
  if (!supportedModels.includes(vocabulary.model)) throw new UnsupportedTokenizerError("model", vocabulary.model, supportedModels);
  const table = new TokenTable(vocabulary);
  const dropsLeadingSpace = vocabulary.model === "wpm" || (vocabulary.model === "spm" && vocabulary.addSpacePrefix);
  return new VocabularyTokenizer(table, createSegmentEncoder(vocabulary, table), dropsLeadingSpace, vocabulary.stripSpaceAfter);
}

function createSegmentEncoder(vocabulary: Vocabulary, table: TokenTable): SegmentEncoder {
  if (vocabulary.model === "spm") return new SpmEncoder(vocabulary, table);
  if (vocabulary.model === "wpm") return new WpmEncoder(vocabulary, table);
  return new BpeEncoder(vocabulary, table);
}

/** C's isspace, as llama.cpp strips. */
const leadingSpace = /[ \t\n\v\f\r]*/y;

class VocabularyTokenizer implements TextTokenizer {
  readonly specialTokens: ReadonlyMap<string, number>;
  readonly #matcher: SpecialTokenMatcher;
  readonly #stripSpaceAfter: ReadonlySet<number>;

  constructor(
    private readonly table: TokenTable,
    private readonly segments: SegmentEncoder,
    private readonly dropsLeadingSpace: boolean,
    stripSpaceAfter: readonly number[] = [],
  ) {
    this.#matcher = new SpecialTokenMatcher(table);
    this.#stripSpaceAfter = new Set(stripSpaceAfter);
    const specialIds = [...table.idsOfType(TokenType.control), ...table.idsOfType(TokenType.unknown)];
    this.specialTokens = new Map(specialIds.map((id) => [table.texts[id]!, id]));
  }

  get vocabSize(): number {
    return this.table.size;
  }

  get bosTokenId(): number | undefined {
    return this.table.bos;
  }

  encode(text: string, options: TextEncodeOptions = {}): number[] {
    const { parseSpecial = false, addBos = false, addEos = false, addSep = false, userText } = options;
    const wellFormed = text.replaceAll(/\p{Surrogate}/gu, "\ufffd");
    const tokenIds: number[] = addBos && this.table.bos !== undefined ? [this.table.bos] : [];
    let start = 0;
    for (const match of this.#matcher.find(wellFormed, { parseSpecial, userText })) {
      if (match.start < start) continue;
      if (match.start > start) this.segments.encodeSegment(wellFormed.slice(start, match.start), tokenIds);
      tokenIds.push(match.id);
      start = this.#stripSpaceAfter.has(match.id) ? endOfSpace(wellFormed, match.end) : match.end;
    }
    if (start < wellFormed.length) this.segments.encodeSegment(wellFormed.slice(start), tokenIds);
    if (addEos && this.table.eos !== undefined) tokenIds.push(this.table.eos);
    if (addSep && this.table.sep !== undefined) tokenIds.push(this.table.sep);
    return tokenIds;
  }

  decode(tokenIds: readonly number[], { renderSpecial = false }: { readonly renderSpecial?: boolean } = {}): string {
    const pieces = new PieceReader(this.table, this.dropsLeadingSpace, renderSpecial);
    let bytes = new Uint8Array(Math.max(64, tokenIds.length * 8));
    let byteLength = 0;
    for (const id of tokenIds) {
      const piece = pieces.read(id);
      if (byteLength + piece.length > bytes.length) {
        const grown = new Uint8Array(2 * (byteLength + piece.length));
        grown.set(bytes);
        bytes = grown;
      }
      bytes.set(piece, byteLength);
      byteLength += piece.length;
    }
    return utf8Decoder().decode(bytes.subarray(0, byteLength));
  }

  createStreamDecoder(): StreamDecoder {
    const pieces = new PieceReader(this.table, this.dropsLeadingSpace, false);
    const decoder = utf8Decoder();
    return {
      push: (tokenId) => decoder.decode(pieces.read(tokenId), { stream: true }),
      end: () => decoder.decode(),
    };
  }

  isEndOfGeneration(tokenId: number): boolean {
    return this.table.endOfGeneration.has(tokenId);
  }
}

function endOfSpace(text: string, start: number): number {
  leadingSpace.lastIndex = start;
  return start + leadingSpace.exec(text)![0].length;
}

/** A byte order mark at the start is text like any other. */
const utf8Decoder = () => new TextDecoder("utf-8", { ignoreBOM: true });
const noBytes = new Uint8Array();
const spaceByte = 0x20;

/** Bytes of one id after another, without the space that encoding put before the text. */
class PieceReader {
  constructor(
    private readonly table: TokenTable,
    private dropsSpace: boolean,
    private readonly renderSpecial: boolean,
  ) {}

  read(tokenId: number): Uint8Array {
    const isSpecial = this.table.isSpecial(tokenId);
    if (isSpecial && !this.renderSpecial) return noBytes;
    const piece = this.table.bytesOf(tokenId);
    if (isSpecial || piece.length === 0 || !this.dropsSpace) return piece;
    this.dropsSpace = false;
    return piece[0] === spaceByte ? piece.subarray(1) : piece;
  }
}
