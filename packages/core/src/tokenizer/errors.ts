/** What a model file's vocabulary or chat template can be refused for. */
import { ThermoclineError } from "@thermocline/spec";

/** A tokenizer family or pre-tokenizer that this package does not implement. Refused before any text is encoded. */
export class UnsupportedTokenizerError extends ThermoclineError {
  readonly code = "unsupported-tokenizer";
  constructor(
    /** `model`: `tokenizer.ggml.model`; `pre`: `tokenizer.ggml.pre`. */
    readonly field: "model" | "pre",
    readonly value: string,
    readonly supported: readonly string[],
  ) {
    super(`tokenizer ${field} "${value}" is not supported`, `use a model with one of: ${supported.join(", ")}`);
  }
}

/** The vocabulary contradicts itself, or cannot encode every text. */
export class InvalidVocabularyError extends ThermoclineError {
  readonly code = "invalid-vocabulary";
  constructor(
    /** The part of the vocabulary that is wrong: "merges", "special.eos", … */
    readonly field: string,
    readonly problem: string,
  ) {
    super(`vocabulary: ${field} ${problem}`, "the file is damaged or was converted wrongly; convert or download it again");
  }
}

/** A chat template that does not parse, fails while it renders, or refuses the messages itself. */
export class ChatTemplateError extends ThermoclineError {
  readonly code = "chat-template";
  constructor(
    /** `parse`, `render`: the template is at fault. `refused`: it called `raise_exception`, so the messages are. */
    readonly stage: "parse" | "render" | "refused",
    readonly problem: string,
    options?: ErrorOptions,
  ) {
    super(
      `chat template: ${problem}`,
      stage === "refused" ? "change the messages as the template asks" : "use another template, or a model whose template is sound",
      options,
    );
  }
}
