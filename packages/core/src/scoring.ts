/** One `score` call: its text, and the rows of logits that its caller has yet to take. */
import type { PositionLogits } from "@thermocline/spec";
import type { ScoringStep } from "./scheduling/scheduler.js";
import type { Sequence } from "./scheduling/sequence.js";

export class Scoring {
  /** The first position whose logits no step has given yet. */
  #nextPosition: number;
  /** Rows in the memory that all scoring steps share: of these positions, until the caller has taken the last of them. */
  #rows: { readonly firstPosition: number; readonly count: number; readonly logits: Float32Array } | undefined;
  #failure: { readonly error: unknown } | undefined;
  #ended = false;
  #wake: (() => void) | undefined;

  constructor(
    readonly sequence: Sequence,
    firstPosition: number,
    private readonly vocabSize: number,
  ) {
    this.#nextPosition = firstPosition;
  }

  get nextPosition(): number {
    return this.#nextPosition;
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** A step of another text would overwrite rows that are still to be taken. */
  get holdsRows(): boolean {
    return this.#rows !== undefined;
  }

  /** All logits are there; what is left is to take them. */
  get isComputed(): boolean {
    return this.#nextPosition === this.sequence.tokenIds.length;
  }

  /** Takes what a completed step gave. `logits` [rows, vocabSize] stays as it is until `onTaken`. */
  accept({ numScored }: ScoringStep, logits: Float32Array): void {
    if (numScored === 0 || this.#ended) return;
    this.#rows = { firstPosition: this.#nextPosition, count: numScored, logits };
    this.#nextPosition += numScored;
    this.#wake?.();
  }

  fail(error: unknown): void {
    if (this.#ended) return;
    this.#failure = { error };
    this.end();
  }

  end(): void {
    this.#ended = true;
    this.#rows = undefined;
    this.#wake?.();
  }

  /** The logits in order of position. `onTaken` is called when the next step may overwrite them. */
  async *positions(onTaken: () => void): AsyncGenerator<PositionLogits, void, undefined> {
    while (!this.#ended) {
      if (this.#rows === undefined) {
        if (this.isComputed) return;
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
        continue;
      }
      const { firstPosition, count, logits } = this.#rows;
      for (let row = 0; row < count && !this.#ended; row++) {
        yield { position: firstPosition + row, logits: logits.subarray(row * this.vocabSize, (row + 1) * this.vocabSize) };
      }
      this.#rows = undefined;
      onTaken();
    }
    if (this.#failure !== undefined) throw this.#failure.error;
  }
}
