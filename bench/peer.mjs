/** llama.cpp through node-llama-cpp and its prebuilt binary, installed into the cache folder and never into the workspace. */
import { existsSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import path from "node:path";
import { cacheFolder } from "./cache-folder.mjs";
import { RegistryUnreachableError, runNpm } from "./npm-package.mjs";

export const peerVersion = "3.22.1";

/**
 * @returns {Promise<string | undefined>} The module to import; undefined, with a line of warning, where it cannot be installed.
 */
export async function installPeer() {
  const folder = path.join(cacheFolder(), `node-llama-cpp-${peerVersion}`);
  const entry = path.join(folder, "node_modules/node-llama-cpp/dist/index.js");
  const binary = `@node-llama-cpp/${platformName()}`;
  if (existsSync(entry) && existsSync(path.join(folder, "node_modules", binary))) return entry;
  await mkdir(folder, { recursive: true });
  await writeFile(path.join(folder, "package.json"), '{ "private": true }\n');
  try {
    // The binaries for other processors and for GPUs are optional dependencies, hundreds of megabytes: only this machine's is wanted.
    const packages = [`node-llama-cpp@${peerVersion}`, `${binary}@${peerVersion}`];
    await runNpm(
      ["install", "--ignore-scripts", "--omit=optional", "--no-audit", "--no-fund", ...packages],
      packages.join(" and "),
      folder,
    );
  } catch (error) {
    if (!(error instanceof RegistryUnreachableError)) throw error;
    console.warn(`llama.cpp is left out: ${error.message}`);
    return undefined;
  }
  return entry;
}

/** As node-llama-cpp names the packages of its binaries for the CPU. */
function platformName() {
  const names = /** @type {Record<string, string>} */ ({ darwin: "mac", win32: "win" });
  const platform = names[process.platform] ?? process.platform;
  return platform === "mac" && process.arch === "arm64" ? "mac-arm64-metal" : `${platform}-${process.arch}`;
}
