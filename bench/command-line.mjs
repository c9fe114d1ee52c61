/** What the bench's commands share. */
import { realpathSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { ThermoclineError } from "@thermocline/spec";

/**
 * Runs `main` where the module was started as a command. A fault of the caller's or machine's is one line and exit code 1.
 * @param {string} moduleUrl
 * @param {() => Promise<void>} main
 */
export async function runAsCommand(moduleUrl, main) {
  if (process.argv[1] === undefined || realpathSync(process.argv[1]) !== realpathSync(fileURLToPath(moduleUrl))) return;
  try {
    await main();
  } catch (error) {
    const isUsage = error instanceof TypeError && "code" in error && String(error.code).startsWith("ERR_PARSE_ARGS");
    if (!ThermoclineError.isInstance(error) && !isUsage) throw error;
    console.error(/** @type {Error} */ (error).message);
    process.exitCode = 1;
  }
}
