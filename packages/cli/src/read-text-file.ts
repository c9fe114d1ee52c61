import { readFile } from "node:fs/promises";
import { FileAccessError } from "@thermocline/spec";

const problems: Readonly<Record<string, string>> = {
  ENOENT: "does not exist",
  ENOTDIR: "lies in something that is no folder",
  EACCES: "may not be accessed",
  EPERM: "may not be accessed",
  EISDIR: "is a directory",
  ENOSPC: "does not fit: the disk is full",
  EROFS: "lies on a disk that cannot be written",
};

/** A failed call of the file system as an error for people. */
export function fileAccessErrorOf(path: string, cause: unknown): FileAccessError {
  const { code = "", message } = cause as NodeJS.ErrnoException;
  return new FileAccessError(path, problems[code] ?? `cannot be accessed: ${message}`, { cause });
}

/** A whole file as UTF-8; bytes that are none become U+FFFD. @throws FileAccessError; the signal's reason. */
export async function readTextFile(path: string, signal?: AbortSignal): Promise<string> {
  try {
    return await readFile(path, { encoding: "utf8", signal });
  } catch (cause) {
    signal?.throwIfAborted();
    throw fileAccessErrorOf(path, cause);
  }
}
