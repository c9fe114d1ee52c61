/** Finds the first stop string in a stream of text, also where it spans pieces. */

export interface StopResult {
  /** Text that can be shown: it can no longer be part of a stop string. */
  readonly text: string;
  readonly stopped: boolean;
}

export class StopStrings {
  #held = "";
  readonly #longest: number;

  constructor(private readonly stops: readonly string[]) {
    this.#longest = stops.reduce((longest, stop) => Math.max(longest, stop.length), 0);
  }

  push(piece: string): StopResult {
    const text = this.#held + piece;
    const found = this.stops.map((stop) => text.indexOf(stop)).filter((index) => index >= 0);
    if (found.length > 0) {
      this.#held = "";
      return { text: text.slice(0, Math.min(...found)), stopped: true };
    }
    const keep = this.#longestSuffixThatMayStop(text);
    this.#held = text.slice(text.length - keep);
    return { text: text.slice(0, text.length - keep), stopped: false };
  }

  /** What was held back when the text ends without a stop. */
  end(): string {
    const held = this.#held;
    this.#held = "";
    return held;
  }

  #longestSuffixThatMayStop(text: string): number {
    for (let length = Math.min(this.#longest - 1, text.length); length > 0; length--) {
      const suffix = text.slice(text.length - length);
      if (this.stops.some((stop) => stop.startsWith(suffix))) return length;
    }
    return 0;
  }
}
