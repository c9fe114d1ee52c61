// Everything that must hold before a change lands. Goes on after a failed step where the next ones still mean something, and ends with the
// sum over all test runs. Run it with pnpm on the path (`npm test`, or `pnpm run check`): turbo asks for it.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { sumResults } from "./test-results.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const bin = (name) => join(root, "node_modules", ".bin", process.platform === "win32" ? `${name}.cmd` : name);

// Each run of vitest leaves its results here, in the folder of its package.
const resultsFile = join(".turbo", "test-results.json");
const reporters = ["--reporter=default", "--reporter=json", `--outputFile.json=${resultsFile.replaceAll("\\", "/")}`];

const turbo = [bin("turbo"), "run"];
// Types and tests need the build, which the step before has made: `--only` keeps turbo from going through it again.
const steps = [
  { name: "lint", command: [bin("biome"), "ci", "."] },
  { name: "build", command: [...turbo, "build", "--concurrency=100%"], isNeeded: true },
  { name: "types", command: [...turbo, "typecheck", "--only", "--continue", "--concurrency=100%"] },
  { name: "types of scripts", command: [bin("tsc"), "-p", "scripts"] },
  { name: "imports", command: [process.execPath, "scripts/check-imports.mjs"] },
  // One package after the other: vitest itself takes all cores.
  { name: "tests", command: [...turbo, "test", "--only", "--continue", "--concurrency=1", "--", ...reporters], isTestRun: true },
  { name: "packed packages", command: [bin("vitest"), "run", "--config", "scripts/vitest.config.ts", ...reporters], isTestRun: true },
];

/** Folders in which a step runs vitest: every package with a test script, the examples, the scripts. */
function testedFolders() {
  const packages = readdirSync(join(root, "packages")).map((name) => join(root, "packages", name));
  const isTested = (folder) => {
    const manifest = join(folder, "package.json");
    return existsSync(manifest) && JSON.parse(readFileSync(manifest, "utf8")).scripts?.test !== undefined;
  };
  return [...[...packages, join(root, "examples")].filter(isTested), join(root, "scripts")];
}

const folders = testedFolders();
for (const folder of folders) {
  rmSync(join(folder, resultsFile), { force: true });
  mkdirSync(join(folder, ".turbo"), { recursive: true });
}

const env = { TURBO_TELEMETRY_DISABLED: "1", DO_NOT_TRACK: "1", ...process.env };
const finished = [];
for (const step of steps) {
  console.log(`\n── ${step.name}`);
  const begin = performance.now();
  const [file, ...args] = step.command;
  const { status, error } = spawnSync(file, args, { cwd: root, stdio: "inherit", env, shell: process.platform === "win32" });
  if (error) console.error(error.message);
  finished.push({ ...step, passed: status === 0, seconds: (performance.now() - begin) / 1000 });
  if (status !== 0 && step.isNeeded) break;
}

console.log("\n── summary");
for (const { name, passed, seconds } of finished)
  console.log(`${passed ? "passed" : "FAILED"}  ${seconds.toFixed(1).padStart(6)} s  ${name}`);
const ran = finished.filter(({ isTestRun }) => isTestRun);
const sum =
  ran.length === 0 ? { passed: 0, failed: 0, skipped: 0, problems: [] } : sumResults(folders.map((folder) => join(folder, resultsFile)));
for (const problem of sum.problems) console.log(problem);
// A step that failed without a failing test still is a failure, and the last line must not look like success.
const failedSteps = finished.filter((step) => !step.passed);
const failed = sum.failed + failedSteps.filter(({ isTestRun }) => !isTestRun).length;
const closing = failedSteps.length > 0 ? Math.max(failed, 1) : failed;
console.log(`${sum.passed} passed, ${closing} failed, ${sum.skipped} skipped`);
process.exitCode = closing > 0 ? 1 : 0;
