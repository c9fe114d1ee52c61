import type { LoadProgress } from "@thermocline/core";
import { formatBytes } from "../format-bytes.js";

const width = 30;
/** Between two drawings; a terminal is slower than a load. */
const intervalMs = 50;

export interface ProgressBar {
  update(progress: LoadProgress): void;
  /** Takes the bar off the screen. */
  clear(): void;
}

/** A bar on a terminal's last line. */
export function createProgressBar(stream: NodeJS.WriteStream, label: string): ProgressBar {
  let drawnAtMs = Number.NEGATIVE_INFINITY;
  return {
    update({ loadedBytes, totalBytes }) {
      const nowMs = performance.now();
      if (nowMs - drawnAtMs < intervalMs && loadedBytes < totalBytes) return;
      drawnAtMs = nowMs;
      const filled = totalBytes === 0 ? width : Math.round((loadedBytes / totalBytes) * width);
      const bar = "█".repeat(filled) + "░".repeat(width - filled);
      stream.write(`\r\x1b[K${label} ${bar} ${formatBytes(loadedBytes)} of ${formatBytes(totalBytes)}`);
    },
    clear: () => void stream.write("\r\x1b[K"),
  };
}
