const width = 30;
/** Between two drawings; a terminal is slower than what it shows. */
const intervalMs = 50;

export interface ProgressBar {
  /** `share` is 0 to 1. */
  update(share: number, text: string): void;
  /** Takes the bar off the screen. */
  clear(): void;
}

/** A bar on a terminal's last line. */
export function createProgressBar(stream: NodeJS.WriteStream, label: string): ProgressBar {
  let drawnAtMs = Number.NEGATIVE_INFINITY;
  return {
    update(share, text) {
      const nowMs = performance.now();
      if (nowMs - drawnAtMs < intervalMs && share < 1) return;
      drawnAtMs = nowMs;
      const filled = Math.round(Math.min(1, Math.max(0, share)) * width);
      stream.write(`\r\x1b[K${label} ${"█".repeat(filled)}${"░".repeat(width - filled)} ${text}`);
    },
    clear: () => void stream.write("\r\x1b[K"),
  };
}
