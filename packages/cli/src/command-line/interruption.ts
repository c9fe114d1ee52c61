import { InterruptedError } from "./failure.js";

/**
 * Runs work whose signal aborts at Ctrl-C or SIGTERM. The second of the same kind ends the process in the system's way.
 * @throws InterruptedError where the work was interrupted, also where it ended without an error of its own.
 */
export async function interruptible<Result>(work: (signal: AbortSignal) => Promise<Result>): Promise<Result> {
  const controller = new AbortController();
  const interrupt = (signal: NodeJS.Signals) => controller.abort(new InterruptedError(signal));
  process.once("SIGINT", interrupt);
  process.once("SIGTERM", interrupt);
  try {
    const result = await work(controller.signal);
    controller.signal.throwIfAborted();
    return result;
  } finally {
    process.off("SIGINT", interrupt);
    process.off("SIGTERM", interrupt);
  }
}
