import { escapeControls } from "../terminal-text.js";

const intervalMs = 100;

export interface StatusLine {
  show(text: string): void;
  /** Takes the line off the screen. */
  clear(): void;
}

/** What is being done, on a terminal's last line; nothing where nobody watches. */
export function createStatusLine(stream: NodeJS.WriteStream, isWatched: boolean): StatusLine {
  if (!isWatched) return { show: () => {}, clear: () => {} };
  let shownAtMs = Number.NEGATIVE_INFINITY;
  return {
    show(text) {
      const nowMs = performance.now();
      if (nowMs - shownAtMs < intervalMs) return;
      shownAtMs = nowMs;
      stream.write(`\r\x1b[K${escapeControls(text).slice(0, Math.max(20, (stream.columns ?? 80) - 1))}`);
    },
    clear: () => void stream.write("\r\x1b[K"),
  };
}
