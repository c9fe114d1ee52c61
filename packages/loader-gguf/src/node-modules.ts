import { FileAccessError } from "@thermocline/spec";

/**
 * Node's own modules, for paths alone. Not `import("node:…")`: bundlers for browsers resolve its argument and fail.
 * @throws FileAccessError where there is no Node. `path` is what was asked for.
 */
export function nodeModules(path: string) {
  const load = globalThis.process?.getBuiltinModule;
  if (load === undefined) throw new FileAccessError(path, "is a path, which only Node can open; give a URL or a Blob");
  return { fs: load("node:fs/promises"), path: load("node:path"), url: load("node:url") };
}
