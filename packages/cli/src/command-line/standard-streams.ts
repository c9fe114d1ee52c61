/** Text in and out of the process, with the reader's pace and its departure. */
import { InvalidRequestError, ThermoclineError } from "@thermocline/spec";

// `write` reports a failure to its callback; without a listener the stream's own event would end the process with a stack.
process.stdout.on("error", () => {});
process.stderr.on("error", () => {});

/** Whoever read stdout has gone. Ends the process's work quietly. */
export class OutputClosedError extends Error {
  override readonly name = "OutputClosedError";
}

/** Stdout takes no more: a full disk, a closed descriptor. */
export class OutputWriteError extends ThermoclineError {
  readonly code = "output-write";
  constructor(
    /** The system's, such as "ENOSPC". */
    readonly systemCode: string,
    options?: ErrorOptions,
  ) {
    super(`standard output cannot be written (${systemCode})`, "make room there, or send the output elsewhere", options);
  }
}

/** Resolves when the text has been taken. @throws OutputClosedError, OutputWriteError. */
export async function writeOutput(text: string): Promise<void> {
  try {
    await new Promise<void>((resolve, reject) => {
      process.stdout.write(text, (error) => (error ? reject(error) : resolve()));
    });
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    if (code === "EPIPE") throw new OutputClosedError("the reader of standard output has gone", { cause });
    throw new OutputWriteError(code ?? message, { cause });
  }
}

/** For people: notices, progress, statistics. Losing it changes nothing. */
export function writeNotice(text: string): void {
  process.stderr.write(`${text}\n`);
}

/** All of stdin as text; invalid UTF-8 becomes U+FFFD. @throws InvalidRequestError where a terminal is attached: nothing was piped. */
export async function readInput(what: string, cure: string, signal?: AbortSignal): Promise<string> {
  const { stdin } = process;
  if (stdin.isTTY) throw new InvalidRequestError("stdin", "terminal", `${what} was not given`, cure);
  const stop = () => stdin.destroy(signal?.reason);
  signal?.addEventListener("abort", stop, { once: true });
  try {
    const chunks: Buffer[] = [];
    for await (const chunk of stdin) chunks.push(chunk as Buffer);
    return new TextDecoder("utf-8", { ignoreBOM: true }).decode(Buffer.concat(chunks));
  } finally {
    signal?.removeEventListener("abort", stop);
  }
}
