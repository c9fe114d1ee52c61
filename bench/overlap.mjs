/**
 * Two devices at work on one layer: half of every layer's neurons lie on a second CPU device of one thread.
 *
 *   node bench/overlap.mjs [--shape 1.1b|150m|tiny] [--rounds 5] [--tokens 16] [--json]
 *
 * Checks that the split model chooses the undivided model's tokens, near ties aside, then prints for each round how much of the shorter
 * legs' time both legs ran. Exits with 1 where the best round of a shape large enough to matter stays under the bar. The best round
 * counts, because other work on the machine can only take a device's core away.
 */
import { mkdir, writeFile } from "node:fs/promises";
import path from "node:path";
import { parseArgs } from "node:util";
import { createEngine, listOffloadUnits, placeOnOneDevice, readModelConfig } from "@thermocline/core";
import { createCpuBackend } from "@thermocline/cpu-kernels";
import { openGguf } from "@thermocline/loader-gguf";
import { createMemoryLedger, InvalidRequestError } from "@thermocline/spec";
import { runAsCommand } from "./command-line.mjs";
import { loadAverage, machineConditions, machineName } from "./machine.mjs";
import { promptOf } from "./prompt.mjs";
import { modelShapes, randomModelPath } from "./write-random-model.mjs";

const bar = 0.8;
const devices = ["cpu:0", "cpu:1"];

/**
 * The same model undivided, or with the second half of each layer's neurons on the second device.
 * @param {import("@thermocline/spec").ModelSource} source
 * @param {boolean} isSplit
 * @returns {import("@thermocline/spec").Placement}
 */
function place(source, isSplit) {
  const units = listOffloadUnits(source, readModelConfig(source));
  const placement = new Map(placeOnOneDevice(units, devices[0]));
  for (const { id, rows } of isSplit ? units : []) {
    if (rows === undefined) continue;
    const half = Math.floor(rows.count / 2 / rows.blockSize) * rows.blockSize;
    placement.set(id, [
      { device: devices[0], rows: [[0, half]] },
      { device: devices[1], rows: [[half, rows.count - half]] },
    ]);
  }
  return placement;
}

/**
 * @param {string} modelPath
 * @param {{ readonly isSplit: boolean, readonly numTokens: number, readonly forcedTokenIds?: readonly number[] }} options
 */
async function decode(modelPath, { isSplit, numTokens, forcedTokenIds }) {
  const source = await openGguf(modelPath);
  const backends = devices.map((id) => createCpuBackend({ id, threads: 1 }));
  const ledger = createMemoryLedger(Object.fromEntries(devices.map((id) => [id, 2 ** 34])));
  const placement = place(source, isSplit);
  const engine = await createEngine({ source, backends, placement, ledger, contextLength: 256, diagnostics: { trace: true } });
  try {
    const request = {
      prompt: promptOf(engine.config.vocabSize, 16, 1),
      maxTokens: numTokens,
      ignoreEos: true,
      logprobs: 2,
      sampling: { temperature: 0 },
    };
    const steps = [];
    let usage;
    for await (const event of engine.generate(forcedTokenIds === undefined ? request : { ...request, forcedTokenIds })) {
      if (event.type === "text-delta") steps.push(...(event.logprobs ?? []));
      else usage = event.usage;
    }
    const { overlap = { overlappedMs: 0, shorterLegMs: 0 } } = engine.statistics();
    if (usage === undefined) throw new Error("a request ended without its last event");
    return { steps, overlap, tokensPerSecond: ((usage.completionTokens - 1) * 1000) / usage.decodeMs };
  } finally {
    await engine[Symbol.asyncDispose]();
    for (const owned of [...backends, source]) await owned[Symbol.asyncDispose]();
  }
}

await runAsCommand(import.meta.url, async () => {
  const { values } = parseArgs({
    options: {
      shape: { type: "string", default: "1.1b" },
      rounds: { type: "string", default: "5" },
      tokens: { type: "string", default: "16" },
      json: { type: "boolean" },
    },
  });
  const shape = /** @type {import("./write-random-model.mjs").RandomModelShapeName} */ (values.shape);
  if (!(shape in modelShapes))
    throw new InvalidRequestError("--shape", shape, `${shape} is unknown`, `use ${Object.keys(modelShapes).join(", ")}`);
  const [numRounds, numTokens] = [Number(values.rounds), Number(values.tokens)];
  const modelPath = await randomModelPath(shape, "q4_0");

  const whole = await decode(modelPath, { isSplit: false, numTokens });
  const forcedTokenIds = whole.steps.map(({ tokenId }) => tokenId);
  const rounds = [];
  for (let round = 0; round < numRounds; round++) {
    const { steps, overlap, tokensPerSecond } = await decode(modelPath, { isSplit: true, numTokens, forcedTokenIds });
    // The kernels' rounding moves a log-probability by less than half a nat on these shapes; a wider margin cannot flip.
    const wrong = steps.filter(
      ({ tokenId }, step) => tokenId !== forcedTokenIds[step] && whole.steps[step].top[0][1] - whole.steps[step].top[1][1] > 1,
    );
    if (steps.length !== numTokens || wrong.length > 0)
      throw new InvalidRequestError("split", wrong.length, `chose other tokens in ${wrong.length} of ${numTokens} steps`, "report it");
    const share = overlap.overlappedMs / overlap.shorterLegMs;
    rounds.push({ share, ...overlap, tokensPerSecond });
    console.log(
      `round ${round + 1}: ${(100 * share).toFixed(1)} % of ${overlap.shorterLegMs.toFixed(1)} ms overlapped, ${tokensPerSecond.toFixed(2)} tok/s`,
    );
  }
  const best = Math.max(...rounds.map(({ share }) => share));
  const passed = best >= bar;
  console.log(`undivided on one thread: ${whole.tokensPerSecond.toFixed(2)} tok/s; load average ${loadAverage().join(" ")}`);
  console.log(`${passed ? "passed" : "MISSED"}  overlap of the shorter leg ${(100 * best).toFixed(1)} %, at least ${100 * bar} %`);
  if (values.json) {
    const folder = path.join(import.meta.dirname, "results");
    await mkdir(folder, { recursive: true });
    const result = {
      ...machineConditions(),
      loadAverage: loadAverage(),
      shape,
      numTokens,
      undividedTokensPerSecond: whole.tokensPerSecond,
      rounds,
    };
    await writeFile(path.join(folder, `${machineName()}-overlap.json`), `${JSON.stringify(result, undefined, 2)}\n`);
  }
  if (!passed && shape !== "tiny") process.exitCode = 1;
});
