import type { Vocabulary } from "@thermocline/spec";

/** The parts of Hugging Face's tokenizer.json that a vocabulary needs. */
export interface TokenizerJson {
  readonly model: {
    readonly vocab: Readonly<Record<string, number>>;
    readonly merges: readonly (string | readonly [string, string])[];
  };
  readonly added_tokens: readonly { readonly id: number; readonly content: string; readonly special: boolean }[];
}

/** The vocabulary as a conversion to GGUF would write it. */
export function vocabularyOf(json: TokenizerJson, family: { readonly model: "bpe" | "spm"; readonly pre?: string | undefined }): Vocabulary;
