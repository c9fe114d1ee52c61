import { createTokenizer, type TextTokenizer } from "@thermocline/core/tokenizer";
import { InvalidTensorError, type ModelSource, type Vocabulary } from "@thermocline/spec";

/** @throws InvalidTensorError where the file has none. */
export function vocabularyOf({ vocabulary }: ModelSource): Vocabulary {
  if (vocabulary === undefined) throw new InvalidTensorError("metadata tokenizer.ggml.model", "a vocabulary", "none that is known");
  return vocabulary;
}

/** @throws InvalidTensorError, UnsupportedTokenizerError, InvalidVocabularyError. */
export function tokenizerOf(source: ModelSource): TextTokenizer {
  return createTokenizer(vocabularyOf(source));
}
