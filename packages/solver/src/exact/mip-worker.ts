/** The worker in which HiGHS runs: it solves one program after the other, and blocks its thread while it does. */
import highsModule from "highs";
import type { WorkerAnswer, WorkerFailure, WorkerRequest } from "./worker-messages.js";

// The package's types describe its CommonJS build, whose default export is a member; that of the ES module is the loader itself.
const loadHighs = highsModule as unknown as typeof highsModule.default;
const highs = loadHighs();

/** A worker's own side in browsers. */
interface BrowserPort {
  postMessage(message: unknown): void;
  addEventListener(type: "message", listener: (event: { readonly data: unknown }) => void): void;
}

async function answer({ program, start, options }: WorkerRequest): Promise<WorkerAnswer> {
  const { constants, createModel, infinity } = await highs;
  const bounded = (values: Float64Array) => values.map((value) => (Number.isFinite(value) ? value : Math.sign(value) * infinity));
  const model = createModel({
    ...program,
    colUpper: bounded(program.colUpper),
    rowLower: bounded(program.rowLower),
    rowUpper: bounded(program.rowUpper),
  });
  try {
    model.options.set({ output_flag: false, ...options });
    if (start !== undefined) model.setSolution({ colValue: start });
    model.run();
    const status = model.getModelStatus();
    const { optimal, infeasible } = constants.modelStatus;
    const hasSolution = model.info.get("primal_solution_status") === 2;
    return {
      outcome: status === optimal ? "optimal" : status === infeasible ? "infeasible" : "limited",
      bound: Number(model.info.get("mip_dual_bound")),
      ...(hasSolution && { values: Float64Array.from(model.getSolution().colValue) }),
    };
  } finally {
    model.dispose();
  }
}

/** Node's port to the thread that made this one, or a browser's. */
function openPort(): BrowserPort {
  const port = globalThis.process?.getBuiltinModule?.("node:worker_threads")?.parentPort;
  if (!port) return globalThis as unknown as BrowserPort;
  return {
    postMessage: (message) => port.postMessage(message),
    addEventListener: (_, listener) => port.on("message", (data: unknown) => listener({ data })),
  };
}

const port = openPort();
port.addEventListener("message", ({ data }) => {
  answer(data as WorkerRequest).then(
    (message) => port.postMessage(message),
    (error: unknown) => port.postMessage({ failure: error instanceof Error ? error.message : String(error) } satisfies WorkerFailure),
  );
});
