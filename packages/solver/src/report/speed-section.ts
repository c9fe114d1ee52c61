/** How fast a plan should be, how good it is, and what its rivals would do. */
import type { OffloadPlan, StrategyPrediction } from "@thermocline/spec";
import { formatCount, formatRate, formatSeconds, formatShare, plural, printable } from "./quantities.js";
import type { TerminalStyle } from "./terminal-style.js";
import { tableLines } from "./text-table.js";

export function predictionLines({ predicted, workload }: OffloadPlan): string[] {
  if (predicted === undefined) return [];
  const { prefillSeconds, secondsPerToken, workloadSeconds } = predicted;
  const batch = workload?.batch ?? 1;
  const rate =
    secondsPerToken > 0
      ? `${formatRate(batch / secondsPerToken)} tokens a second (${formatSeconds(secondsPerToken)} a step)`
      : "answers at once";
  const whole = workloadSeconds === undefined ? "" : `; the whole workload takes ${formatSeconds(workloadSeconds)}`;
  const together = batch > 1 ? ` over ${plural(batch, "sequence")}` : "";
  return [`predicted: ${formatSeconds(prefillSeconds)} to the first token, then ${rate}${together}${whole}`];
}

export function solverLines({ solver, predicted }: OffloadPlan): string[] {
  if (solver === undefined) return [];
  const { name, version, status, boundSeconds, gap, note } = solver;
  const bound = `no placement takes less than ${formatSeconds(boundSeconds)}`;
  const verdict = status === "optimal" ? "optimal within the gap asked for" : "feasible, not proven optimal";
  const workload = predicted?.workloadSeconds === undefined ? "" : " for the workload";
  const distance = gap < 5e-5 ? "which this one takes" : `${formatGap(gap)} under this one`;
  return [`solver: ${printable(`${name} ${version}`)}, ${verdict}; ${bound}${workload}, ${distance}`, ...(note ? [printable(note)] : [])];
}

function formatGap(gap: number): string {
  return gap < 0.1 ? `${(gap * 100).toFixed(2)} %` : formatShare(gap);
}

/** Strategies by depths, prefill and decode apart; the fastest of each column has a star. */
export function comparisonLines({ comparison = [], workload }: OffloadPlan, style: TerminalStyle): string[] {
  if (comparison.length === 0) return [];
  const strategies = [...new Set(comparison.map(({ strategy }) => strategy))];
  const depths = [...new Set(comparison.map(({ contextDepth }) => contextDepth))].sort((a, b) => a - b);
  const at = (strategy: string, depth: number) => comparison.find((entry) => entry.strategy === strategy && entry.contextDepth === depth);
  const cells = (field: "prefillTokensPerSecond" | "decodeTokensPerSecond") =>
    depths.map((depth) => {
      const values = strategies.map((strategy) => at(strategy, depth)?.[field]);
      const best = Math.max(...values.map((value) => value ?? 0));
      return values.map((value) => (value === undefined ? "-" : `${formatRate(value)}${isBest(value, best) ? "*" : " "}`));
    });
  const columns = [...cells("prefillTokensPerSecond"), ...cells("decodeTokensPerSecond")];
  const rows = strategies.map((strategy, row) => [printable(strategy), ...columns.map((column) => column[row]!)]);
  const blank = depths.slice(1).map(() => "");
  const titles = ["", "prefill ", ...blank, "decode ", ...blank];
  const depthRow = ["at depth", ...depths, ...depths].map((depth) => (typeof depth === "number" ? `${formatCount(depth)} ` : depth));
  const batch = workload !== undefined && workload.batch > 1 ? `, ${formatCount(workload.batch)} sequences together` : "";
  return [
    style.heading(`predicted tokens a second${batch}; * fastest`),
    ...tableLines(
      titles.map((title, index) => ({ title, align: index === 0 ? "left" : "right" })),
      [depthRow, ...rows],
    ),
  ];
}

/** Within what the figures are printed to. */
function isBest(value: NonNullable<StrategyPrediction["decodeTokensPerSecond"]>, best: number): boolean {
  return value > 0 && value >= best * 0.9995;
}
