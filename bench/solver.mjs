/**
 * Time, gap and bound of the offload solvers on the shapes of large models.
 *
 *   node bench/solver.mjs [--runs 5] [--gap 0.001] [--statistics] [--json]
 *
 * Prints medians of wall time and of processor time, which other work on the machine moves less. `--statistics` also runs the package's
 * own test of 1,000 random problems against brute force, whose line tells how often greedy is best and how often within 1 %.
 */
import { spawnSync } from "node:child_process";
import path from "node:path";
import { parseArgs } from "node:util";
import { solveExact, solveGreedy } from "@thermocline/solver";
import { runAsCommand } from "./command-line.mjs";
import { loadAverage, machineConditions } from "./machine.mjs";
import { llama70b, mixture671b } from "./solver-shapes.mjs";

const shapes = {
  "70B, groups of 64": () => llama70b(),
  "70B, 35,840 groups of distinct frequency": () => llama70b({ hasFrequencies: true }),
  "671B, 61 layers, 256 experts": () => mixture671b(),
};
const solvers = { greedy: solveGreedy, exact: solveExact };

const median = (/** @type {number[]} */ values) => /** @type {number} */ ([...values].sort((a, b) => a - b)[values.length >> 1]);

/**
 * @param {import("@thermocline/spec").OffloadProblem} problem
 * @param {import("@thermocline/spec").OffloadSolver} solve
 * @param {number} runs
 * @param {number} gap
 */
async function measure(problem, solve, runs, gap) {
  /** @type {{ wallMs: number[], processorMs: number[] }} */
  const times = { wallMs: [], processorMs: [] };
  /** @type {import("@thermocline/spec").OffloadSolution | undefined} */
  let solution;
  // The first run compiles.
  for (let run = 0; run <= runs; run++) {
    const before = process.cpuUsage();
    const begin = performance.now();
    solution = await solve(problem, { gap });
    const wallMs = performance.now() - begin;
    const { user, system } = process.cpuUsage(before);
    if (run === 0) continue;
    times.wallMs.push(wallMs);
    times.processorMs.push((user + system) / 1000);
  }
  if (solution === undefined || solution.status === "infeasible") throw new Error("the shape does not fit its machine");
  const { status, gap: reached, boundSeconds, predicted } = solution;
  const { workloadSeconds } = predicted;
  return { status, gap: reached, boundSeconds, workloadSeconds, wallMs: median(times.wallMs), processorMs: median(times.processorMs) };
}

/** The line that the package's test prints. */
function statistics() {
  const cwd = path.resolve(import.meta.dirname, "../packages/solver");
  const { stdout, status } = spawnSync("npx", ["vitest", "run", "test/brute-force.test.ts"], { cwd, encoding: "utf8" });
  const line = stdout.split("\n").find((text) => text.includes("random problems that fit"));
  return { passed: status === 0, line: line?.trim() ?? "the test printed no statistics" };
}

await runAsCommand(import.meta.url, async () => {
  const { values } = parseArgs({
    options: {
      runs: { type: "string", default: "5" },
      gap: { type: "string", default: "0.001" },
      statistics: { type: "boolean", default: false },
      json: { type: "boolean", default: false },
    },
  });
  /** @type {Record<string, unknown>[]} */
  const rows = [];
  for (const [shape, make] of Object.entries(shapes)) {
    const problem = make();
    for (const [solver, solve] of Object.entries(solvers)) {
      const result = await measure(problem, solve, Number(values.runs), Number(values.gap));
      rows.push({ shape, solver, ...result });
      if (values.json) continue;
      const times = `${result.wallMs.toFixed(0)} ms, ${result.processorMs.toFixed(0)} ms of processor time`;
      console.log(`${shape}: ${solver} ${result.status}, gap ${(100 * result.gap).toFixed(4)} %, ${times}`);
    }
  }
  const random = values.statistics ? statistics() : undefined;
  if (values.json) console.log(JSON.stringify({ conditions: { ...machineConditions(), load: loadAverage() }, rows, random }, null, 2));
  else if (random !== undefined)
    console.log(`${random.line}; ${random.passed ? "exact equals brute force throughout" : "the test FAILED"}`);
  if (random?.passed === false) process.exitCode = 1;
});
