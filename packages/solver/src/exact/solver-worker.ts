/** Workers that run HiGHS: made when they are needed, kept for a moment, and never a reason for a process to stay alive. */
import type { WorkerAnswer, WorkerFailure, WorkerRequest } from "./worker-messages.js";

/** HiGHS or its worker did not work; whoever asked has to do without. */
export class WorkerFailedError extends Error {
  override readonly name = "WorkerFailedError";
}

/** A browser's constructor of workers; its types are not among those of a library that also runs in Node. */
type BrowserWorkerConstructor = new (
  url: URL,
  options: { readonly type: "module" },
) => {
  onmessage: (event: { readonly data: WorkerAnswer | WorkerFailure }) => void;
  onerror: (event: { readonly message?: string }) => void;
  postMessage(message: WorkerRequest): void;
  terminate(): void;
};
declare const Worker: BrowserWorkerConstructor;

/** What a worker of Node and one of a browser have in common here. */
interface SolverWorker {
  solve(request: WorkerRequest): Promise<WorkerAnswer>;
  /** Keeps the process alive, or lets it end. */
  hold(isHeld: boolean): void;
  terminate(): void;
}

/** Loading HiGHS takes a tenth of a second, which a series of problems pays once. */
const idleMs = 2000;
const idle: { readonly worker: SolverWorker; readonly timer: ReturnType<typeof setTimeout> }[] = [];

/**
 * @throws WorkerFailedError where no worker can be started, or HiGHS fails.
 * @throws the signal's reason, at once, where it is aborted; the worker is ended.
 */
export async function solveInWorker(request: WorkerRequest, signal?: AbortSignal): Promise<WorkerAnswer> {
  signal?.throwIfAborted();
  const worker = takeWorker();
  worker.hold(true);
  let abort = () => {};
  const aborted = new Promise<never>((_, reject) => {
    abort = () => reject(signal?.reason);
    signal?.addEventListener("abort", abort, { once: true });
  });
  try {
    const answer = await Promise.race([worker.solve(request), aborted]);
    keepWorker(worker);
    return answer;
  } catch (error) {
    worker.terminate();
    throw error;
  } finally {
    signal?.removeEventListener("abort", abort);
  }
}

function takeWorker(): SolverWorker {
  const known = idle.pop();
  if (known === undefined) return startWorker();
  clearTimeout(known.timer);
  return known.worker;
}

function keepWorker(worker: SolverWorker): void {
  worker.hold(false);
  const timer = setTimeout(() => {
    idle.splice(
      idle.findIndex((entry) => entry.worker === worker),
      1,
    );
    worker.terminate();
  }, idleMs);
  // A number in browsers.
  if (typeof timer === "object") timer.unref();
  idle.push({ worker, timer });
}

function startWorker(): SolverWorker {
  try {
    const threads = globalThis.process?.getBuiltinModule?.("node:worker_threads");
    return threads === undefined ? browserWorker() : nodeWorker(threads);
  } catch (error) {
    throw new WorkerFailedError(`no worker could be started (${messageOf(error)})`, { cause: error });
  }
}

/** Where the sources themselves run, the built worker is taken. */
function workerUrl(): URL {
  const isSource = import.meta.url.endsWith(".ts");
  return new URL(isSource ? "../../dist/mip-worker.js" : "./mip-worker.js", import.meta.url);
}

function nodeWorker(threads: typeof import("node:worker_threads")): SolverWorker {
  const worker = new threads.Worker(workerUrl(), { execArgv: [] });
  worker.unref();
  return {
    solve: (request) =>
      new Promise((resolve, reject) => {
        const settle = (finish: () => void) => {
          // All at once would take those of Node's own too, by which the worker's port is started again for the next request.
          for (const event of ["message", "error", "exit"]) worker.removeAllListeners(event);
          finish();
        };
        worker.once("message", (message: WorkerAnswer | WorkerFailure) => settle(() => settleAnswer(message, resolve, reject)));
        worker.once("error", (error) => settle(() => reject(failureOf(error))));
        worker.once("exit", (code) => settle(() => reject(failureOf(`it ended with code ${code}`))));
        worker.postMessage(request);
      }),
    hold: (isHeld) => (isHeld ? worker.ref() : worker.unref()),
    terminate: () => void worker.terminate(),
  };
}

function browserWorker(): SolverWorker {
  // Bundlers look for this very expression.
  const worker = new Worker(new URL("./mip-worker.js", import.meta.url), { type: "module" });
  return {
    solve: (request) =>
      new Promise((resolve, reject) => {
        worker.onmessage = ({ data }) => settleAnswer(data, resolve, reject);
        worker.onerror = (event) => reject(failureOf(event.message));
        worker.postMessage(request);
      }),
    hold: () => {},
    terminate: () => worker.terminate(),
  };
}

function settleAnswer(
  message: WorkerAnswer | WorkerFailure,
  resolve: (answer: WorkerAnswer) => void,
  reject: (error: Error) => void,
): void {
  if ("failure" in message) reject(failureOf(message.failure));
  else resolve(message);
}

function failureOf(cause: unknown): WorkerFailedError {
  return new WorkerFailedError(`HiGHS's worker failed (${messageOf(cause)})`, { cause });
}

function messageOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause ?? "no reason given");
}
