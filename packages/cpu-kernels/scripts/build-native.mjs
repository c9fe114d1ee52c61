// Builds the addon with cmake-js. Without a compiler or cmake, or with SKIP_NATIVE=1, it says so in one line and succeeds: the package
// then offers its reference backend alone. REQUIRE_NATIVE=1 turns that into a failure.
import { spawnSync } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export const packageRoot = dirname(dirname(fileURLToPath(import.meta.url)));
// Beside build/, which cmake-js deletes when a configuration has failed.
const generatedDirectory = join(packageRoot, "generated");

const runs = (command) => spawnSync(command, ["--version"], { stdio: "ignore" }).status === 0;

/** Ninja where there is one, else make. */
const generator = () => (runs("ninja") ? "Ninja" : "Unix Makefiles");

/** Names what is missing, or undefined when the addon can be built. */
export function missingTool() {
  if (!runs("cmake")) return "cmake was not found";
  const compilers = process.env.CXX ? [process.env.CXX] : ["c++", "g++", "clang++"];
  return compilers.some(runs) ? undefined : `no C++ compiler was found (${compilers.join(", ")})`;
}

/** Writes generated/thermocline/commands.h from the op table; an unchanged header keeps its time, so nothing is compiled again. */
export async function generateHeader() {
  const { generateCommandHeader } = await import("@thermocline/spec/command-header");
  const file = join(generatedDirectory, "thermocline", "commands.h");
  const text = generateCommandHeader();
  mkdirSync(dirname(file), { recursive: true });
  if (!existsSync(file) || readFileSync(file, "utf8") !== text) writeFileSync(file, text);
}

/** Compiles the addon into `<buildDirectory>/Release`, with `definitions` for CMake. Returns the exit status and what the build said. */
export function compileAddon(buildDirectory, definitions = {}) {
  const cmakeJs = createRequire(import.meta.url).resolve("cmake-js/bin/cmake-js");
  const options = Object.entries(definitions).map(([name, value]) => `--CD${name}=${value}`);
  const command = [cmakeJs, "compile", "--directory", packageRoot, "--out", buildDirectory, "--generator", generator(), "--parallel", "2"];
  const { status, stdout, stderr } = spawnSync(process.execPath, [...command, ...options], {
    cwd: packageRoot,
    encoding: "utf8",
    maxBuffer: 64 << 20,
  });
  return { status: status ?? 1, output: `${stdout}${stderr}` };
}

/** The addon that a compilation left behind: generators differ in whether they make a Release directory. */
export function findAddon(buildDirectory) {
  return [join(buildDirectory, "Release", "thermocline-cpu.node"), join(buildDirectory, "thermocline-cpu.node")].find((file) =>
    existsSync(file),
  );
}

async function main() {
  const missing = process.env.SKIP_NATIVE === "1" ? "SKIP_NATIVE=1 is set" : missingTool();
  if (missing !== undefined) {
    console.log(`cpu-kernels: native addon not built: ${missing}; the reference backend will be used`);
    return process.env.REQUIRE_NATIVE === "1" ? 1 : 0;
  }
  await generateHeader();
  const buildDirectory = join(packageRoot, "build");
  const { status, output } = compileAddon(buildDirectory);
  const addon = findAddon(buildDirectory);
  if (status !== 0 || addon === undefined) {
    console.error(output);
    console.error("cpu-kernels: the native addon could not be compiled; SKIP_NATIVE=1 goes on with the reference backend");
    return 1;
  }
  if (process.platform === "linux" && process.arch === "x64") {
    const copy = join(packageRoot, "npm", "linux-x64", "thermocline-cpu.node");
    if (!existsSync(copy) || statSync(copy).mtimeMs < statSync(addon).mtimeMs) copyFileSync(addon, copy);
  }
  return 0;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) process.exitCode = await main();
