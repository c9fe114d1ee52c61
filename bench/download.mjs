/** Downloads over HTTPS that go on where they were broken off and that nobody sees before their hash is right. */
import { createHash } from "node:crypto";
import { createReadStream, createWriteStream, existsSync } from "node:fs";
import { rename, rm, stat } from "node:fs/promises";
import { pipeline } from "node:stream/promises";
import { ThermoclineError } from "@thermocline/spec";
import { createProgressBar } from "./progress-bar.mjs";

/** Longest silence of a server. */
const idleTimeoutMs = 60_000;

/** A server did not give a file, or not the right one. */
export class DownloadFailedError extends ThermoclineError {
  /** @readonly */
  code = "download-failed";

  /**
   * @param {string} url
   * @param {string} problem
   * @param {string} cure
   * @param {ErrorOptions} [options]
   */
  constructor(url, problem, cure, options) {
    super(`${url}: ${problem}`, cure, options);
    this.url = url;
  }
}

/**
 * Leaves the file at `target`; what has come of it so far lies in `target.partial`.
 * @param {string} url
 * @param {string} target
 * @param {{ readonly integrity: string, readonly label: string }} options `integrity` as npm writes it: algorithm-base64.
 * @throws DownloadFailedError
 */
export async function download(url, target, { integrity, label }) {
  if (existsSync(target)) return;
  const partial = `${target}.partial`;
  const have = existsSync(partial) ? (await stat(partial)).size : 0;
  const silence = new AbortController();
  let timer = setTimeout(() => silence.abort(), idleTimeoutMs);
  try {
    const response = await fetch(url, { headers: have > 0 ? { range: `bytes=${have}-` } : {}, signal: silence.signal });
    // 416: nothing lies beyond what is there already.
    if (response.status !== 416) {
      if (!response.ok || response.body === null) throw new DownloadFailedError(url, `status ${response.status}`, "check the address");
      const start = response.status === 206 ? have : 0;
      const length = Number(response.headers.get("content-length") ?? Number.NaN);
      const bar = createProgressBar(label, start + length);
      let done = start;
      await pipeline(
        response.body,
        async function* (chunks) {
          for await (const chunk of chunks) {
            clearTimeout(timer);
            timer = setTimeout(() => silence.abort(), idleTimeoutMs);
            done += chunk.length;
            bar.advance(done);
            yield chunk;
          }
        },
        createWriteStream(partial, { flags: start > 0 ? "a" : "w" }),
      ).finally(() => bar.end());
    }
  } catch (error) {
    if (error instanceof DownloadFailedError) throw error;
    const { message, cause } = /** @type {Error} */ (error);
    const reason = silence.signal.aborted ? `silent for ${idleTimeoutMs / 1000} s` : cause instanceof Error ? cause.message : message;
    throw new DownloadFailedError(url, `the download broke off: ${reason}`, "run the command again: it goes on from there", {
      cause: error,
    });
  } finally {
    clearTimeout(timer);
  }
  const [algorithm = "", expected] = integrity.split(/-(.*)/s);
  const hash = createHash(algorithm);
  for await (const chunk of createReadStream(partial)) hash.update(chunk);
  if (hash.digest("base64") !== expected) {
    await rm(partial, { force: true });
    throw new DownloadFailedError(url, `what came is not what was published (${algorithm})`, "run the command again: it starts anew");
  }
  await rename(partial, target);
}
