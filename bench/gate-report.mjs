/** What the gate measured: ratios, the bars that they must reach, and tables. */

/** @typedef {import("./gate-cells.mjs").Strategy} Strategy */
/** Tokens per second. @typedef {{ readonly predicted: number, readonly rounds: readonly number[] }} Speed */
/**
 * @typedef {object} MeasuredStrategy
 * @property {Strategy} strategy
 * @property {number} placedAs Strategies with the same number chose the same placement, which was measured once.
 * @property {string} [solver] What found the placement.
 * @property {import("@thermocline/spec").OffloadPlan["bytes"]} bytes
 * @property {Speed} decode
 * @property {Speed} prefill
 */
/**
 * @typedef {object} GateCell
 * @property {string} model
 * @property {number} share Of the model, on the fast device.
 * @property {import("@thermocline/spec").Workload} workload Planned for.
 * @property {number} measuredTokens Decoded in each round.
 * @property {number} differingTokens Steps in which placements chose tokens that no near tie explains.
 * @property {Readonly<Record<string, number>>} budgetBytes
 * @property {readonly MeasuredStrategy[]} strategies The plan first.
 */

/** The plan reaches this part of the fastest in every cell, and this multiple of its best rival in half of them. */
export const leastOfBest = 0.97;
export const leastGain = 1.1;

/** @param {readonly number[]} values */
export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  return (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2;
}

/**
 * The plan's decoding speed over that of its fastest rival: of each rival the median of the rounds' own ratios, since what ran in one round
 * ran side by side.
 * @param {GateCell} cell
 */
export function gainOf({ strategies: [plan, ...rivals] }) {
  const ratios = rivals.map((rival) =>
    rival.placedAs === plan.placedAs ? 1 : median(plan.decode.rounds.map((speed, round) => speed / rival.decode.rounds[round])),
  );
  return Math.min(...ratios);
}

/** @param {readonly GateCell[]} cells */
export function judgeCells(cells) {
  const gains = cells.map(gainOf);
  const numGained = gains.filter((gain) => gain >= leastGain).length;
  const isNeverWorse = gains.every((gain) => gain >= leastOfBest);
  const isOftenBetter = 2 * numGained >= cells.length;
  const hasSameTokens = cells.every(({ differingTokens }) => differingTokens === 0);
  return { gains, numGained, isNeverWorse, isOftenBetter, hasSameTokens, passed: isNeverWorse && isOftenBetter && hasSameTokens };
}

/** Speeds of one cell, measured and predicted. @param {GateCell} cell */
export function printCell(cell) {
  const { model, share, workload, strategies, differingTokens } = cell;
  console.log(
    `\n${model}, ${100 * share} % on the fast device, depth ${workload.contextDepth}: plan ${gainOf(cell).toFixed(3)} of its best rival`,
  );
  console.log("                decode tok/s  predicted   error   prefill tok/s  predicted   error");
  for (const { strategy, solver, decode, prefill } of strategies) {
    const columns = [decode, prefill].map(({ predicted, rounds }, index) => {
      const measured = median(rounds);
      const error = `${(100 * (predicted / measured - 1)).toFixed(1)} %`;
      return `${measured.toFixed(2).padStart(index === 0 ? 12 : 14)} ${predicted.toFixed(2).padStart(10)} ${error.padStart(8)}`;
    });
    console.log(`${strategy.padEnd(14)}${columns.join("  ")}  ${solver ?? ""}`);
  }
  if (differingTokens > 0) console.log(`${differingTokens} steps chose other tokens`);
}

/**
 * @param {ReturnType<typeof judgeCells>} verdict
 * @param {readonly GateCell[]} cells
 */
export function printVerdict({ gains, numGained, isNeverWorse, isOftenBetter, hasSameTokens }, cells) {
  /** @param {boolean} holds */
  const mark = (holds) => (holds ? "holds " : "MISSED");
  console.log(`\n${mark(isNeverWorse)}  at least ${leastOfBest} of the best in every cell: ${Math.min(...gains).toFixed(3)} is the least`);
  console.log(`${mark(isOftenBetter)}  at least ${leastGain} times the best rival in half of them: in ${numGained} of ${cells.length}`);
  console.log(`${mark(hasSameTokens)}  the same tokens wherever units lie`);
}
