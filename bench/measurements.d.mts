/** What the measuring processes are asked and what they answer, as JSON. */
interface JobBase {
  readonly modelPath: string;
  readonly threads: number;
  /** Tokens of the KV cache for each sequence. */
  readonly contextLength: number;
  readonly promptTokens: number;
  /** Tokens whose time is taken: the first one of a request, which ends the prefill, comes before them. */
  readonly numTokens: number;
  /** Absent: the fastest. Of this engine only. */
  readonly isa?: "avx512" | "avx2" | "scalar";
}

export type Job =
  | (JobBase & { readonly kind: "decode" })
  | (JobBase & { readonly kind: "check" })
  | (JobBase & { readonly kind: "batch"; readonly numSequences: number; readonly prefillTokens: number });

export interface DecodeResult {
  /** Engine, kernels and threads, as the engine names them. */
  readonly device: string;
  readonly loadMs: number;
  readonly tokenIds: readonly number[];
  readonly tokensPerSecond: number;
  /** Processor time of the whole process while it decodes. With one thread, where nobody spins, it tells less of the neighbours than wall time does. */
  readonly processorMsPerToken: number;
  readonly prefillTokensPerSecond: number;
}

export interface CheckResult {
  readonly device: string;
  readonly tokenIds: readonly number[];
  /** For each step the most likely tokens with their log-probabilities, the most likely first. */
  readonly steps: readonly (readonly (readonly [tokenId: number, logprob: number])[])[];
}

export interface BatchResult {
  readonly device: string;
  readonly singleTokensPerSecond: number;
  /** Of all sequences. */
  readonly togetherTokensPerSecond: number;
  readonly prefillTokensPerSecond: number;
}
