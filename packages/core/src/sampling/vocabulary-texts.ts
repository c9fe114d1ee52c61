/** What the rules ask of a vocabulary, found out once for all sequences. */
import type { Tokenizer } from "@thermocline/spec";

export class VocabularyTexts {
  readonly #texts = new Map<number, string>();
  #endOfGenerationIds: readonly number[] | undefined;

  /** Without a tokenizer no token has a text, and none ends a generation. */
  constructor(private readonly tokenizer: Tokenizer | undefined) {}

  get endOfGenerationIds(): readonly number[] {
    this.#endOfGenerationIds ??= this.#findEndOfGenerationIds();
    return this.#endOfGenerationIds;
  }

  #findEndOfGenerationIds(): readonly number[] {
    const found: number[] = [];
    for (let tokenId = 0; tokenId < (this.tokenizer?.vocabSize ?? 0); tokenId++) {
      if (this.tokenizer!.isEndOfGeneration(tokenId)) found.push(tokenId);
    }
    return found;
  }

  /** Whether the text of a token holds one of `breakers`. */
  breakerTest(breakers: readonly string[]): (tokenId: number) => boolean {
    const known = new Map<number, boolean>();
    return (tokenId) => {
      let isBreaker = known.get(tokenId);
      if (isBreaker === undefined) {
        const text = this.#textOf(tokenId);
        isBreaker = breakers.some((breaker) => text.includes(breaker));
        known.set(tokenId, isBreaker);
      }
      return isBreaker;
    };
  }

  /** As it stands within a text: vocabularies that put a space before a text keep it in the second of two tokens. */
  #textOf(tokenId: number): string {
    let text = this.#texts.get(tokenId);
    if (text === undefined) {
      const decode = (tokenIds: readonly number[]) => this.tokenizer?.decode(tokenIds, { renderSpecial: true }) ?? "";
      const first = decode([tokenId]);
      const both = decode([tokenId, tokenId]);
      text = both.startsWith(first) ? both.slice(first.length) : first;
      this.#texts.set(tokenId, text);
    }
    return text;
  }
}
