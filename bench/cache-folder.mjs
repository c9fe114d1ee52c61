/** Where the bench keeps models, packages and conversions: outside of the work tree, safe to delete. */
import { mkdirSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";

/** `$THERMOCLINE_CACHE`, else `thermocline-bench` in the system's temporary folder. Made where it is missing. */
export function cacheFolder() {
  const folder = cacheFolderPath();
  mkdirSync(folder, { recursive: true });
  return folder;
}

/** The same path, not made. */
export function cacheFolderPath() {
  return path.resolve(process.env.THERMOCLINE_CACHE || path.join(tmpdir(), "thermocline-bench"));
}
