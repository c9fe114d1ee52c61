export interface Llama2cConversion {
  /** Of the GGUF file to be written. */
  readonly path: string;
  /** `general.name`. */
  readonly name: string;
  /** Where the weights come from. */
  readonly sourceUrl: string;
  readonly checkpoint: Uint8Array;
  /** Absent: it follows the weights in `checkpoint`. */
  readonly vocabulary?: Uint8Array;
  /** Of the matrices; norms are f32. */
  readonly dtype: "f32" | "f16";
}

/** @throws InvalidRequestError where the bytes are no checkpoint and vocabulary, FileAccessError. */
export function convertLlama2c(conversion: Llama2cConversion): Promise<void>;
