/**
 * Files of packages in the npm registry, by way of the cache folder. The machine's own npm says where a package lies and what its hash is;
 * the archive is fetched here, so that a download goes on where it was broken off.
 */
import { execFile } from "node:child_process";
import { createReadStream } from "node:fs";
import { mkdir, rm } from "node:fs/promises";
import path from "node:path";
import { promisify } from "node:util";
import { createGunzip } from "node:zlib";
import { ThermoclineError } from "@thermocline/spec";
import { cacheFolder } from "./cache-folder.mjs";
import { DownloadFailedError, download } from "./download.mjs";
import { fileInArchive } from "./tar-archive.mjs";

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
 * A package's archive in the cache folder, its hash checked. The caller removes it when done.
 * @param {string} packageName With its version.
 * @returns {Promise<string>} Its path.
 * @throws RegistryUnreachableError
 */
async function fetchArchive(packageName) {
  const folder = path.join(cacheFolder(), "packages");
  await mkdir(folder, { recursive: true });
  const answer = JSON.parse(await runNpm(["view", packageName, "dist", "--json", "--loglevel=error"], packageName, folder));
  const { tarball, integrity } = /** @type {{ tarball: string, integrity: string }} */ (answer);
  const target = path.join(folder, `${packageName.replace(/[^\w.@-]/g, "-")}.tgz`);
  try {
    await download(tarball, target, { integrity, label: packageName });
  } catch (error) {
    if (!(error instanceof DownloadFailedError)) throw error;
    throw new RegistryUnreachableError(packageName, error.message, { cause: error });
  }
  return target;
}

/**
 * Calls `use` with the chunks of each of a package's named files, in their order in the archive. The archive is removed where `use` has
 * taken all of them, and kept where it failed.
 * @param {string} packageName With its version.
 * @param {readonly string[]} filePaths Inside the package.
 * @param {(filePath: string, chunks: AsyncIterable<Uint8Array>) => Promise<void>} use Takes all chunks.
 * @throws RegistryUnreachableError
 */
export async function withPackageFiles(packageName, filePaths, use) {
  const archive = await fetchArchive(packageName);
  for (const filePath of filePaths) {
    const chunks = fileInArchive(createReadStream(archive).pipe(createGunzip()), `package/${filePath}`);
    const first = await chunks.next();
    if (first.done) throw new RegistryUnreachableError(packageName, `the package holds no ${filePath}`);
    await use(
      filePath,
      (async function* () {
        yield first.value;
        yield* chunks;
      })(),
    );
  }
  await rm(archive, { force: true });
}

/**
 * Files of a package, whole.
 * @param {string} packageName With its version.
 * @param {readonly string[]} filePaths Inside the package.
 * @returns {Promise<Map<string, Buffer>>} By path.
 * @throws RegistryUnreachableError
 */
export async function readPackageFiles(packageName, filePaths) {
  /** @type {Map<string, Buffer>} */
  const files = new Map();
  await withPackageFiles(packageName, filePaths, async (filePath, chunks) => {
    /** @type {Uint8Array[]} */
    const parts = [];
    for await (const chunk of chunks) parts.push(chunk);
    files.set(filePath, Buffer.concat(parts));
  });
  return files;
}

/**
 * One file of a package, whole.
 * @param {string} packageName With its version.
 * @param {string} filePath Inside the package.
 * @throws RegistryUnreachableError
 */
export async function readPackageFile(packageName, filePath) {
  return /** @type {Buffer} */ ((await readPackageFiles(packageName, [filePath])).get(filePath));
}
