/**
 * The planner's gate, measured: on a fast device and one that is slowed down fourfold, the plan against whole layers and FFN first.
 *
 *   node bench/gate.mjs [--models 150m,490m-moe,1.1b] [--shares 0.4,0.75] [--depths 128,4096] [--rounds 5] [--tokens 16] [--json]
 *
 * Each device is a CPU backend of one thread. The machine is calibrated once; a cell is a model, the share of it that the fast device may
 * hold, and a depth of context. In a cell all placements are open and decode in turns, and what was predicted stands beside what was
 * measured. Exits with 1 where the plan is below 0.97 of the fastest in a cell, or at 1.1 times its best rival in less than half of them.
 */
import { mkdir, writeFile } from "node:fs/promises";
import path from "node:path";
import { parseArgs } from "node:util";
import { calibrateBackends } from "@thermocline/core";
import { createCpuBackend } from "@thermocline/cpu-kernels";
import { openGguf } from "@thermocline/loader-gguf";
import { InvalidRequestError } from "@thermocline/spec";
import { runAsCommand } from "./command-line.mjs";
import { fastDevice, gateModelPath, placeCell, slowDevice } from "./gate-cells.mjs";
import { judgeCells, printCell, printVerdict } from "./gate-report.mjs";
import { loadAverage, machineConditions, machineName } from "./machine.mjs";
import { PlacedEngine } from "./placed-engine.mjs";

/** @typedef {import("@thermocline/spec").Backend} Backend */
/** @typedef {import("@thermocline/spec").MachineProfile} MachineProfile */
/** @typedef {import("@thermocline/spec").ModelSource} ModelSource */
/** @typedef {import("@thermocline/spec").Workload} Workload */
/** @typedef {import("./gate-report.mjs").GateCell} GateCell */

const slowdown = 4;
/** Steps in which the strategies' tokens are compared. */
const comparedSteps = 8;

/**
 * @param {object} options
 * @param {readonly import("./gate-cells.mjs").ShapeName[]} options.models
 * @param {readonly number[]} options.shares Of the bytes that the model takes on one device, those that the fast one may hold.
 * @param {readonly number[]} options.depths
 * @param {number} options.rounds
 * @param {number} options.numTokens Decoded in a round; plans are made for `plannedTokens`.
 * @param {(cell: GateCell) => void} [options.onCell]
 * @param {(what: string) => void} [options.onProgress]
 */
export async function measureGate({ models, shares, depths, rounds, numTokens, onCell, onProgress }) {
  const conditions = { ...machineConditions(), slowdown, loadAverageAtStart: loadAverage() };
  const fast = createCpuBackend({ id: fastDevice, threads: 1 });
  const slow = createCpuBackend({ id: slowDevice, threads: 1, throttle: slowdown });
  const backends = [fast, slow];
  try {
    onProgress?.("calibrating");
    const machine = await calibrateBackends(backends, { dtypes: ["q4_0", "f32"], threads: { [fastDevice]: 1, [slowDevice]: 1 } });
    /** @type {GateCell[]} */
    const cells = [];
    for (const model of models) {
      const source = await openGguf(await gateModelPath(model));
      try {
        for (const share of shares) {
          for (const contextDepth of depths) {
            onProgress?.(`${model}, ${share}, ${contextDepth}`);
            const workload = { promptTokens: 32, outputTokens: plannedTokens, contextDepth, batch: 1 };
            const cell = await measureCell({ model, source, machine, backends, share, workload, rounds, numTokens });
            cells.push(cell);
            onCell?.(cell);
          }
        }
      } finally {
        await source[Symbol.asyncDispose]();
      }
    }
    return { conditions: { ...conditions, loadAverageAtEnd: loadAverage() }, machine, cells, verdict: judgeCells(cells) };
  } finally {
    for (const backend of backends) await backend[Symbol.asyncDispose]();
  }
}

/** Decoding is what most of a workload's time goes to. */
const plannedTokens = 128;

/**
 * @param {object} options
 * @param {string} options.model
 * @param {ModelSource} options.source
 * @param {MachineProfile} options.machine
 * @param {readonly Backend[]} options.backends
 * @param {number} options.share
 * @param {Workload} options.workload
 * @param {number} options.rounds
 * @param {number} options.numTokens
 * @returns {Promise<GateCell>}
 */
async function measureCell({ model, source, machine, backends, share, workload, rounds, numTokens }) {
  const { settings, budgets, placed } = await placeCell({ source, machine, backends, share, workload });
  const budgetBytes = Object.fromEntries(Object.entries(budgets).map(([device, budget]) => [device, budget.budgetBytes]));
  /** Placements that are the same are measured once. @type {Map<string, PlacedEngine>} */
  const engines = new Map();
  /** @param {import("@thermocline/spec").Placement} placement */
  const keyOf = (placement) => JSON.stringify([...placement]);
  try {
    for (const { placement } of placed) {
      if (engines.has(keyOf(placement))) continue;
      const loaded = { source, backends, placement, settings, budgets: budgetBytes };
      engines.set(keyOf(placement), await PlacedEngine.load(loaded, { ...workload, outputTokens: numTokens }));
    }
    const differingTokens = await countDifferingTokens([...engines.values()]);
    /** @type {Map<string, Awaited<ReturnType<PlacedEngine["measure"]>>[]>} */
    const measured = new Map([...engines.keys()].map((key) => [key, []]));
    for (let round = 0; round <= rounds; round++) {
      for (const [key, engine] of engines) {
        const result = await engine.measure(round);
        // The first round warms up.
        if (round > 0) measured.get(key)?.push(result);
      }
    }
    return {
      model,
      share,
      workload,
      measuredTokens: numTokens,
      differingTokens,
      budgetBytes,
      strategies: placed.map(({ strategy, plan, placement }) => {
        const results = measured.get(keyOf(placement)) ?? [];
        const { prefillSeconds = Number.NaN, secondsPerToken = Number.NaN } = plan.predicted ?? {};
        return {
          strategy,
          placedAs: [...measured.keys()].indexOf(keyOf(placement)),
          solver: plan.solver?.name,
          bytes: plan.bytes,
          decode: { predicted: 1 / secondsPerToken, rounds: results.map((result) => 1 / result.secondsPerToken) },
          prefill: { predicted: workload.promptTokens / prefillSeconds, rounds: results.map((result) => result.prefillTokensPerSecond) },
        };
      }),
    };
  } finally {
    for (const engine of engines.values()) await engine[Symbol.asyncDispose]();
  }
}

/**
 * Steps in which a placement chooses another token than the first one's, near ties aside: a unit's rows on two devices are summed in another
 * order, which moves a log-probability by less than half a nat on these shapes, so that a wider margin than twice that cannot flip.
 * @param {readonly PlacedEngine[]} engines
 */
async function countDifferingTokens([first, ...others]) {
  const expected = await first.likeliestTokens(comparedSteps);
  const forcedTokenIds = expected.map(({ tokenId }) => tokenId);
  let numDiffering = 0;
  for (const engine of others) {
    const steps = await engine.likeliestTokens(comparedSteps, forcedTokenIds);
    numDiffering += steps.filter(({ top: [[tokenId]] }, step) => {
      const [best, second] = expected[step].top;
      return tokenId !== best[0] && best[1] - second[1] > 1;
    }).length;
  }
  return numDiffering;
}

await runAsCommand(import.meta.url, async () => {
  const { values } = parseArgs({
    options: {
      models: { type: "string", default: "150m,490m-moe,1.1b" },
      shares: { type: "string", default: "0.4,0.75" },
      depths: { type: "string", default: "128,4096" },
      rounds: { type: "string", default: "5" },
      tokens: { type: "string", default: "16" },
      json: { type: "boolean" },
    },
  });
  /** @param {string} option @param {string} text @param {(value: number) => boolean} isValid */
  const numbers = (option, text, isValid) =>
    text.split(",").map((entry) => {
      const value = Number(entry);
      if (isValid(value)) return value;
      throw new InvalidRequestError(option, entry, `is ${entry}`, "see the head of gate.mjs for what it takes");
    });
  /** @param {number} value */
  const isCount = (value) => Number.isSafeInteger(value) && value > 0;
  const report = await measureGate({
    models: /** @type {import("./gate-cells.mjs").ShapeName[]} */ (values.models.split(",")),
    shares: numbers("--shares", values.shares, (value) => value > 0 && value <= 1),
    depths: numbers("--depths", values.depths, (value) => isCount(value) && value % 32 === 0),
    rounds: numbers("--rounds", values.rounds, isCount)[0],
    numTokens: numbers("--tokens", values.tokens, (value) => isCount(value) && value <= plannedTokens)[0],
    onCell: printCell,
    onProgress: (what) => console.error(what),
  });
  printVerdict(report.verdict, report.cells);
  console.log(
    `load average ${report.conditions.loadAverageAtStart.join(" ")} before, ${report.conditions.loadAverageAtEnd.join(" ")} after`,
  );
  if (values.json) {
    const folder = path.join(import.meta.dirname, "results");
    await mkdir(folder, { recursive: true });
    await writeFile(path.join(folder, `${machineName()}-gate.json`), `${JSON.stringify(report, undefined, 2)}\n`);
  }
  if (!report.verdict.passed) process.exitCode = 1;
});
