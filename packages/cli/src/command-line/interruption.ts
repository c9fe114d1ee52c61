import { InterruptedError } from "./failure.js";

/** What work that may be interrupted can do about it. */
export interface Interruption {
  /** From now on Ctrl-C calls this and aborts nothing. */
  divert(onInterrupt: () => void): void;
  /** Ends the work as Ctrl-C does that was not diverted. */
  abort(): void;
}

/**
 * Runs work whose signal aborts at Ctrl-C or SIGTERM. The second of the same kind ends the process in the system's way.
 * @throws InterruptedError where the work was interrupted, also where it ended without an error of its own.
 */
export async function interruptible<Result>(work: (signal: AbortSignal, interruption: Interruption) => Promise<Result>): Promise<Result> {
  const controller = new AbortController();
  let onInterrupt: (() => void) | undefined;
  const interrupt = (signal: NodeJS.Signals) => {
    if (signal === "SIGINT" && onInterrupt !== undefined) return onInterrupt();
    process.off(signal, interrupt);
    controller.abort(new InterruptedError(signal));
  };
  process.on("SIGINT", interrupt);
  process.on("SIGTERM", interrupt);
  try {
    const result = await work(controller.signal, {
      divert(handler) {
        onInterrupt = handler;
      },
      abort: () => controller.abort(new InterruptedError("SIGINT")),
    });
    controller.signal.throwIfAborted();
    return result;
  } finally {
    process.off("SIGINT", interrupt);
    process.off("SIGTERM", interrupt);
  }
}
