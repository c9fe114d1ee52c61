/** Text between special tokens to ids: what the tokenizer families differ in. */
export interface SegmentEncoder {
  /** Appends the ids of `text` to `tokenIds`. `text` is not empty, holds no lone surrogates, and follows a special token or nothing. */
  encodeSegment(text: string, tokenIds: number[]): void;
}
