import { writeFile } from "node:fs/promises";
import { fileAccessErrorOf } from "./read-text-file.js";

/** @throws FileAccessError. */
export async function writeTextFile(path: string, text: string): Promise<void> {
  try {
    await writeFile(path, text);
  } catch (cause) {
    throw fileAccessErrorOf(path, cause);
  }
}
