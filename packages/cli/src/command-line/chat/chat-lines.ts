/** Lines that a person types or a program pipes, one whenever the chat asks for one. */
import { createInterface } from "node:readline";

/** Ctrl-C while a line was edited: it is dropped. */
export class LineDroppedError extends Error {
  override readonly name = "LineDroppedError";
  constructor(readonly wasEmpty: boolean) {
    super("the line was dropped");
  }
}

export interface ChatLines extends Disposable {
  /** The next line, or undefined at the end of the input. @throws LineDroppedError; the signal's reason. */
  next(prompt: string, signal: AbortSignal): Promise<string | undefined>;
}

/** Handed over in order; each one that comes is for whoever waits, or is kept. */
class LineQueue {
  readonly #lines: string[] = [];
  #ended = false;
  #failure: Error | undefined;
  #wake: (() => void) | undefined;

  push(line: string): void {
    this.#lines.push(line);
    this.#wake?.();
  }

  end(failure?: Error): void {
    this.#ended = true;
    this.#failure ??= failure;
    this.#wake?.();
  }

  drain(): readonly string[] {
    return this.#lines.splice(0);
  }

  async next(signal: AbortSignal): Promise<string | undefined> {
    const wake = () => this.#wake?.();
    signal.addEventListener("abort", wake, { once: true });
    try {
      while (this.#lines.length === 0 && !this.#ended && !signal.aborted) {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
      signal.throwIfAborted();
      const line = this.#lines.shift();
      if (line === undefined && this.#failure !== undefined) throw this.#failure;
      return line;
    } finally {
      signal.removeEventListener("abort", wake);
    }
  }
}

/** Of a stream that is no terminal; prompts are not shown. */
export function createPipedLines(input: NodeJS.ReadableStream): ChatLines {
  const queue = new LineQueue();
  const reader = createInterface({ input, terminal: false, crlfDelay: Number.POSITIVE_INFINITY });
  reader.on("line", (line) => queue.push(line));
  reader.on("close", () => queue.end());
  return {
    next: (_prompt, signal) => queue.next(signal),
    [Symbol.dispose]() {
      reader.close();
      // An input that stays open would keep the process.
      (input as NodeJS.ReadStream).unref?.();
    },
  };
}

/**
 * Of a terminal, edited as readline does, with the lines of the chat as history. Between the questions the terminal is in its ordinary mode:
 * Ctrl-C is a signal there, and what is typed ahead waits.
 */
export function createTerminalLines(input: NodeJS.ReadStream, output: NodeJS.WriteStream): ChatLines {
  /** Lines that were pasted with the one that was asked for, and the beginning of one more. */
  const ahead: string[] = [];
  let unfinished = "";
  let history: string[] = [];
  return {
    async next(prompt, signal) {
      const known = ahead.shift();
      if (known !== undefined) return known;
      const lines = new LineQueue();
      const reader = createInterface({ input, output, terminal: true, history, prompt });
      reader.on("history", (entries) => {
        history = [...entries];
      });
      reader.on("line", (line) => lines.push(line));
      reader.on("close", () => lines.end());
      reader.on("SIGINT", () => {
        output.write("^C\n");
        lines.end(new LineDroppedError(reader.line === ""));
      });
      try {
        reader.prompt();
        reader.write(unfinished);
        unfinished = "";
        const line = await lines.next(signal);
        ahead.push(...lines.drain());
        if (line !== undefined) unfinished = reader.line;
        return line;
      } finally {
        reader.close();
      }
    },
    [Symbol.dispose]: () => void input.unref(),
  };
}
