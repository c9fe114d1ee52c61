/** Text to token ids and back. */

export interface EncodeOptions {
  /** Recognise special tokens such as `<|im_end|>` in the text. Off by default, so that user text cannot inject them. */
  readonly parseSpecial?: boolean;
  /** Put the vocabulary's begin-of-sequence token first. Default: false. */
  readonly addBos?: boolean;
  /** Put its end-of-sequence token, or its separator, last. Default: false. */
  readonly addEos?: boolean;
  readonly addSep?: boolean;
}

/** Turns ids into text as they come, holding back bytes that are an incomplete UTF-8 sequence. */
export interface StreamDecoder {
  /** Text that has become complete; may be empty. */
  push(tokenId: number): string;
  /** The rest; incomplete bytes become U+FFFD. */
  end(): string;
}

export interface Tokenizer {
  readonly vocabSize: number;
  encode(text: string, options?: EncodeOptions): number[];
  /** Special tokens have no text unless `renderSpecial`. */
  decode(tokenIds: readonly number[], options?: { readonly renderSpecial?: boolean }): string;
  createStreamDecoder(): StreamDecoder;
  /** Ends a turn or a text: generation stops here. */
  isEndOfGeneration(tokenId: number): boolean;
}
