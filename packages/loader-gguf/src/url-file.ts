/** A file on an HTTP server that answers range requests. The address is asked anew for each read, as redirects to storage expire. */
import { FileAccessError, InvalidRequestError } from "@thermocline/spec";
import { RangeUnsupportedError, ShortReadError } from "./errors.js";
import { headBytes, type OpenedFile, type OpenOptions, type ShardFile } from "./shard-file.js";

interface RangeAnswer {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Bytes of the whole file. */
  readonly totalBytes: number;
}

/** `url` holds no credentials; `name` stands for it in messages. */
export async function openUrlFile(url: string, name: string, authorization: string | undefined, options: OpenOptions): Promise<OpenedFile> {
  const headers = requestHeaders(options.headers, authorization);
  const fetchRange = (offset: number, byteLength: number, signal?: AbortSignal) =>
    requestRange(url, name, offset, byteLength, headers, signal);
  const { bytes: head, totalBytes } = await fetchRange(0, headBytes, options.signal);

  const read: ShardFile["read"] = async (range, readSignal) => {
    if (range.byteLength === 0) return new Uint8Array(0);
    const answer = await fetchRange(range.offset, range.byteLength, readSignal);
    if (answer.totalBytes !== totalBytes)
      throw new FileAccessError(name, `had ${totalBytes} bytes when it was opened and has ${answer.totalBytes} now`);
    if (answer.bytes.length !== range.byteLength) throw new ShortReadError(name, range.offset, range.byteLength, answer.bytes.length);
    return answer.bytes;
  };
  return { file: { location: { kind: "url", url }, name, byteLength: totalBytes, read, close: async () => {} }, head };
}

/** The caller's own `authorization` goes before the URL's. */
function requestHeaders(given: OpenOptions["headers"], authorization: string | undefined): Headers {
  const headers = new Headers(authorization === undefined ? {} : { authorization });
  for (const [name, value] of Object.entries(given ?? {})) {
    try {
      headers.set(name, value);
    } catch {
      // What was thrown quotes the value, which may be a secret.
      throw new InvalidRequestError(
        "headers",
        name,
        `${JSON.stringify(name)} is no header that HTTP can send`,
        "send it without line breaks",
      );
    }
  }
  // A compressed answer would count other bytes than the file has. Browsers set this header themselves and ignore ours.
  headers.set("accept-encoding", "identity");
  return headers;
}

async function requestRange(
  url: string,
  name: string,
  offset: number,
  byteLength: number,
  headers: Headers,
  signal?: AbortSignal,
): Promise<RangeAnswer> {
  const range = `bytes=${offset}-${offset + byteLength - 1}`;
  const response = await fetch(url, {
    headers: [...headers, ["range", range]],
    ...(signal === undefined ? {} : { signal }),
  }).catch((cause) => refuse(name, cause, signal));
  try {
    const contentRange = response.headers.get("content-range");
    if (response.status === 416) return { bytes: new Uint8Array(0), totalBytes: totalOfUnsatisfied(name, contentRange) };
    if (!response.ok) throw new FileAccessError(name, `the server answered ${response.status} ${response.statusText}`.trimEnd());
    if (response.status !== 206) throw new RangeUnsupportedError(name, response.status, "the server does not answer range requests");
    const match = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(contentRange ?? "");
    if (match === null) {
      const problem = `the server does not say how long the file is (Content-Range: ${contentRange ?? "absent"})`;
      throw new RangeUnsupportedError(name, 206, problem);
    }
    const [first, last, totalBytes] = match.slice(1).map(Number) as [number, number, number];
    if (first !== offset || last - first + 1 > byteLength || last >= totalBytes || !Number.isSafeInteger(totalBytes))
      throw new FileAccessError(name, `the server answered ${range} with ${contentRange}`);
    return { bytes: await readBody(response, name, offset, last - first + 1, signal), totalBytes };
  } finally {
    // Leaves nothing to download where the answer was refused; after a complete body it does nothing.
    await response.body?.cancel().catch(() => {});
  }
}

function totalOfUnsatisfied(name: string, contentRange: string | null): number {
  const match = /^bytes \*\/(\d+)$/.exec(contentRange ?? "");
  if (match === null) throw new FileAccessError(name, "the server answered 416 Range Not Satisfiable");
  return Number(match[1]);
}

/** Memory grows with what arrives, not with what the server announces. */
async function readBody(
  response: Response,
  name: string,
  offset: number,
  byteLength: number,
  signal?: AbortSignal,
): Promise<Uint8Array<ArrayBuffer>> {
  const chunks: Uint8Array[] = [];
  let received = 0;
  const reader = response.body!.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read().catch((cause) => refuse(name, cause, signal));
      if (done) break;
      chunks.push(value);
      received += value.length;
      if (received > byteLength) throw new FileAccessError(name, `the server sent more than the ${byteLength} bytes that it announced`);
    }
  } finally {
    reader.releaseLock();
  }
  if (received < byteLength) throw new ShortReadError(name, offset, byteLength, received);
  const bytes = new Uint8Array(byteLength);
  let end = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, end);
    end += chunk.length;
  }
  return bytes;
}

function refuse(name: string, cause: unknown, signal: AbortSignal | undefined): never {
  signal?.throwIfAborted();
  const inner = (cause as Error).cause;
  const reason = (inner instanceof Error ? inner : cause) as NodeJS.ErrnoException;
  // fetch may quote an address with its query, ours or one that it was redirected to; of that nothing is told, in no field.
  if (reason.message.includes("://") || "input" in reason) throw new FileAccessError(name, "cannot be reached");
  throw new FileAccessError(name, `cannot be reached: ${reason.message || (reason.code ?? reason.name)}`, { cause: reason });
}
