/** Packs the workspace's public packages and installs them, as a stranger would, into empty npm projects: without any network. */
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, realpathSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export const repository = fileURLToPath(new URL("..", import.meta.url));

export interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly private?: boolean;
  readonly main?: string;
  readonly exports?: Readonly<Record<string, unknown>>;
  readonly scripts?: Readonly<Record<string, string>>;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

export interface PackedPackage {
  readonly folder: string;
  /** As packed, workspace versions replaced. */
  readonly manifest: Manifest;
  readonly tarball: string;
}

export const readManifest = (folder: string): Manifest => JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));

/** Runs a program without a shell and without what pnpm and vitest put into the environment (a NODE_PATH into the workspace); returns stdout. Throws with stderr in the message. */
export function runProgram(file: string, args: readonly string[], cwd: string, environment: NodeJS.ProcessEnv = {}): string {
  const inherited = Object.entries(process.env).filter(([name]) => !/^(npm_|pnpm_|NODE_OPTIONS|NODE_PATH|VITEST)/i.test(name));
  const env = { ...Object.fromEntries(inherited), ...environment };
  return execFileSync(file, args, { cwd, env, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"], maxBuffer: 1 << 26 });
}

function foldersWithManifest(parent: string): string[] {
  if (!existsSync(parent)) return [];
  return readdirSync(parent)
    .map((name) => join(parent, name))
    .filter((folder) => existsSync(join(folder, "package.json")));
}

/** Every package below `packages` that is not private, platform packages included. */
function publicFolders(): string[] {
  const folders = foldersWithManifest(join(repository, "packages"));
  return [...folders, ...folders.flatMap((folder) => foldersWithManifest(join(folder, "npm")))].filter(
    (folder) => readManifest(folder).private !== true,
  );
}

/** Packs every public package with the pnpm that package.json names. Keyed by name. */
export function packWorkspace(destination: string): Map<string, PackedPackage> {
  const { packageManager } = JSON.parse(readFileSync(join(repository, "package.json"), "utf8")) as { packageManager: string };
  const filter = ["--filter", "./packages/**"];
  runProgram(
    "npx",
    ["-y", "--prefer-offline", packageManager, ...filter, "--recursive", "pack", "--pack-destination", destination],
    repository,
  );
  return new Map(
    publicFolders().map((folder) => {
      const { name, version } = readManifest(folder);
      const tarball = join(destination, `${name.replace("@", "").replace("/", "-")}-${version}.tgz`);
      const manifest = JSON.parse(runProgram("tar", ["-xzOf", tarball, "package/package.json"], destination)) as Manifest;
      return [name, { folder, manifest, tarball }] as const;
    }),
  );
}

/** The installed folder of a third-party package, looked up as Node does from `folder`. */
function findInstalled(name: string, folder: string): string {
  for (let from = realpathSync(folder); ; from = dirname(from)) {
    const candidate = join(from, "node_modules", name);
    if (existsSync(join(candidate, "package.json"))) return realpathSync(candidate);
    if (dirname(from) === from) throw new Error(`${name} is not installed for ${folder}`);
  }
}

/**
 * Tarballs of one package and of all that it depends on: ours as packed, others packed again from the workspace's node_modules, so that
 * npm needs no registry. Optional packages of ours come along unless `leaveOut` names them.
 */
export function tarballsFor(
  name: string,
  packed: ReadonlyMap<string, PackedPackage>,
  destination: string,
  leaveOut: readonly string[] = [],
): Map<string, string> {
  const tarballs = new Map<string, string>();
  const add = (dependency: string, fromFolder: string): void => {
    if (tarballs.has(dependency) || leaveOut.includes(dependency)) return;
    const own = packed.get(dependency);
    const folder = own?.folder ?? findInstalled(dependency, fromFolder);
    const manifest = own?.manifest ?? readManifest(folder);
    tarballs.set(dependency, own?.tarball ?? packInstalled(folder, manifest, destination));
    const optional = own === undefined ? {} : manifest.optionalDependencies;
    for (const next of Object.keys({ ...manifest.dependencies, ...optional })) add(next, folder);
  };
  add(name, repository);
  return tarballs;
}

function packInstalled(folder: string, { name, version }: Manifest, destination: string): string {
  const tarball = join(destination, `${name.replace("@", "").replace("/", "-")}-${version}.tgz`);
  if (!existsSync(tarball)) runProgram("npm", ["pack", folder, "--ignore-scripts", "--pack-destination", destination], destination);
  return tarball;
}

/** An npm project with nothing but these tarballs, installed offline from an empty cache. */
export function installProject(folder: string, tarballs: ReadonlyMap<string, string>): void {
  mkdirSync(folder, { recursive: true });
  const dependencies = Object.fromEntries([...tarballs].map(([name, tarball]) => [name, `file:${tarball}`]));
  writeFileSync(join(folder, "package.json"), JSON.stringify({ name: "consumer", private: true, type: "module", dependencies }));
  const options = ["--offline", "--no-audit", "--no-fund", "--no-package-lock", "--loglevel=error"];
  runProgram("npm", ["install", ...options], folder, { npm_config_cache: join(folder, ".npm-cache") });
}
