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
  /** The next line, or several that were pasted together; undefined at the end of the input. @throws LineDroppedError; the signal's reason. */
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
 * Ctrl-C is a signal there, and what is typed ahead waits. What is pasted into a question is one text of several lines, to be edited on and
 * sent with Enter, where the terminal marks pastes (mode 2004).
 */
export function createTerminalLines(input: NodeJS.ReadableStream, output: NodeJS.WritableStream): ChatLines {
  const marksPastes = process.env.TERM !== "dumb";
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
      /** Whole lines of pastes, before the line that is being edited. */
      const pasted: string[] = [];
      let isPasting = false;
      const onKeypress = (_text: string | undefined, { name }: { readonly name?: string }) => {
        if (name === "paste-start") isPasting = true;
        else if (name === "paste-end") isPasting = false;
      };
      input.on("keypress", onKeypress);
      reader.on("line", (line) => {
        if (!isPasting) return lines.push([...pasted.splice(0), line].join("\n").replace(/\n+$/, ""));
        pasted.push(line);
        reader.setPrompt("… ");
        reader.prompt();
      });
      reader.on("close", () => lines.end());
      reader.on("SIGINT", () => {
        output.write("^C\n");
        lines.end(new LineDroppedError(reader.line === "" && pasted.length === 0));
      });
      try {
        if (marksPastes) output.write("\x1b[?2004h");
        reader.prompt();
        reader.write(unfinished);
        unfinished = "";
        const line = await lines.next(signal);
        ahead.push(...lines.drain());
        if (line !== undefined) unfinished = reader.line;
        return line;
      } finally {
        input.off("keypress", onKeypress);
        reader.close();
        if (marksPastes) output.write("\x1b[?2004l");
      }
    },
    [Symbol.dispose]: () => void (input as NodeJS.ReadStream).unref?.(),
  };
}
