/** Progress on stderr: a line that is drawn again on a terminal, every tenth elsewhere. */

const barLength = 30;
const redrawMs = 100;

/**
 * @param {string} label
 * @param {number} total NaN where it is not known.
 * @param {string} [unit] "bytes" are told in MB.
 */
export function createProgressBar(label, total, unit = "bytes") {
  const isTerminal = process.stderr.isTTY === true;
  const startedAtMs = performance.now();
  /** @param {number} value */
  const amount = (value) => (unit === "bytes" ? (value / 1e6).toFixed(1) : String(value));
  let drawnAtMs = Number.NEGATIVE_INFINITY;
  let drawnTenth = -1;
  /** @param {number} done */
  const line = (done) => {
    const share = Math.min(1, done / total);
    const filled = Number.isNaN(share) ? 0 : Math.round(share * barLength);
    const bar = `[${"#".repeat(filled)}${".".repeat(barLength - filled)}]`;
    const seconds = ((performance.now() - startedAtMs) / 1000).toFixed(0);
    const of = Number.isNaN(total) ? "" : ` of ${amount(total)}`;
    return `${label} ${bar} ${amount(done)}${of} ${unit === "bytes" ? "MB" : unit}, ${seconds} s`;
  };
  return {
    /** @param {number} done From 0 to `total`. */
    advance(done) {
      const tenth = Math.floor((done / total) * 10);
      const isDue = isTerminal ? performance.now() - drawnAtMs >= redrawMs || done === total : tenth !== drawnTenth;
      if (!isDue || Number.isNaN(done)) return;
      drawnAtMs = performance.now();
      drawnTenth = tenth;
      process.stderr.write(isTerminal ? `\r\x1b[2K${line(done)}` : `${line(done)}\n`);
    },
    end() {
      if (isTerminal) process.stderr.write("\n");
    },
  };
}
