/** From what a caller gives to an open file. */
import { FileAccessError, InvalidRequestError, ThermoclineError } from "@thermocline/spec";
import { openBlobFile } from "./blob-file.js";
import { nodeModules } from "./node-modules.js";
import { openPathFile } from "./path-file.js";
import type { FileAddress, GgufLocation, OpenedFile, OpenOptions } from "./shard-file.js";
import { publicUrl, resolveUrl } from "./url-address.js";
import { openUrlFile } from "./url-file.js";

export async function openShardFile({ location, name, authorization }: FileAddress, options: OpenOptions): Promise<OpenedFile> {
  options.signal?.throwIfAborted();
  if (location.kind === "blob") return openBlobFile(location.blob);
  return location.kind === "url" ? openUrlFile(location.url, name, authorization, options) : openPathFile(location.path, name);
}

/** @throws InvalidRequestError, FileAccessError (no valid URL, or a path where there is no Node) */
export function resolveLocation(location: GgufLocation): FileAddress {
  if (typeof location !== "string" && !(location instanceof URL)) {
    // Not `instanceof Blob`: a blob may come from another frame.
    if (typeof location?.slice !== "function" || typeof location.size !== "number")
      throw new InvalidRequestError("location", typeof location, "is none", "give a path, an http(s) URL or a Blob");
    return { location: { kind: "blob", blob: location }, name: "blob" };
  }
  const text = String(location);
  if (/^https?:/i.test(text)) return resolveUrl(text);
  if (/^file:/i.test(text)) {
    const path = pathOfFileUrl(text);
    return { location: { kind: "path", path }, name: path };
  }
  // One letter is a drive.
  const scheme = /^([a-z][a-z\d+.-]+):\/\//i.exec(text)?.[0] ?? (location instanceof URL ? location.protocol : undefined);
  if (scheme !== undefined)
    throw new InvalidRequestError("location", publicUrl(text), `${scheme} addresses are not read`, "give a path, an http(s) URL or a Blob");
  return { location: { kind: "path", path: nodeModules(text).path.resolve(text) }, name: text };
}

function pathOfFileUrl(url: string): string {
  try {
    return nodeModules(url).url.fileURLToPath(url);
  } catch (cause) {
    if (ThermoclineError.isInstance(cause)) throw cause;
    throw new FileAccessError(publicUrl(url), "names no local file");
  }
}
