/** From what a caller gives to an open file. */
import { FileAccessError, InvalidRequestError, type ShardLocation, ThermoclineError } from "@thermocline/spec";
import { openBlobFile } from "./blob-file.js";
import { nodeModules } from "./node-modules.js";
import { openPathFile } from "./path-file.js";
import type { GgufLocation, OpenedFile, OpenOptions } from "./shard-file.js";
import { openUrlFile } from "./url-file.js";

export async function openShardFile(location: GgufLocation, options: OpenOptions): Promise<OpenedFile> {
  options.signal?.throwIfAborted();
  const resolved = resolveLocation(location);
  if (resolved.kind === "blob") return openBlobFile(resolved.blob);
  return resolved.kind === "url" ? openUrlFile(resolved.url, options) : openPathFile(resolved.path);
}

/** Paths become absolute, so that a later change of directory does not matter. */
function resolveLocation(location: GgufLocation): ShardLocation {
  if (typeof location !== "string" && !(location instanceof URL)) {
    // Not `instanceof Blob`: a blob may come from another frame.
    if (typeof location?.slice !== "function" || typeof location.size !== "number")
      throw new InvalidRequestError("location", typeof location, "is none", "give a path, an http(s) URL or a Blob");
    return { kind: "blob", blob: location };
  }
  const text = String(location);
  if (/^https?:/i.test(text)) return { kind: "url", url: text };
  if (/^file:/i.test(text)) return { kind: "path", path: pathOfFileUrl(text) };
  if (location instanceof URL)
    throw new InvalidRequestError("location", text, `${location.protocol} addresses are not read`, "give a path, an http(s) URL or a Blob");
  return { kind: "path", path: nodeModules(text).path.resolve(text) };
}

function pathOfFileUrl(url: string): string {
  try {
    return nodeModules(url).url.fileURLToPath(url);
  } catch (cause) {
    if (ThermoclineError.isInstance(cause)) throw cause;
    throw new FileAccessError(url, `names no local file: ${(cause as Error).message}`, { cause });
  }
}
