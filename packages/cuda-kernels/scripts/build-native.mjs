// Builds the CUDA addon where a CUDA compiler is found. Without one, or with SKIP_NATIVE=1, says so in one line and succeeds; REQUIRE_CUDA=1
// makes that a failure.
import { spawnSync } from "node:child_process";
import { existsSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";

const packageRoot = fileURLToPath(new URL("..", import.meta.url));
const addon = join(packageRoot, "build", "Release", "thermocline-cuda.node");
const executable = (name) => (process.platform === "win32" ? `${name}.exe` : name);

function findOnPath(name) {
  const candidates = (process.env.PATH ?? "")
    .split(delimiter)
    .filter(Boolean)
    .map((folder) => join(folder, executable(name)));
  return candidates.find((candidate) => existsSync(candidate));
}

function findNvcc() {
  const { CUDACXX, CUDA_HOME, CUDA_PATH } = process.env;
  if (CUDACXX) return existsSync(CUDACXX) ? CUDACXX : findOnPath(CUDACXX);
  const toolkits = [CUDA_HOME, CUDA_PATH].filter(Boolean).map((folder) => join(folder, "bin", executable("nvcc")));
  return (
    toolkits.find((candidate) => existsSync(candidate)) ??
    findOnPath("nvcc") ??
    ["/usr/local/cuda/bin/nvcc"].find((file) => existsSync(file))
  );
}

/** Ends without an addon. One from an earlier build is removed: what loads is what was asked for. */
function endWithout(reason, log = "") {
  rmSync(addon, { force: true });
  const required = process.env.REQUIRE_CUDA === "1";
  if (required && log) console.error(log);
  console.log(`cuda-kernels: built without the CUDA addon: ${reason}`);
  process.exit(required ? 1 : 0);
}

if (process.env.SKIP_NATIVE === "1") endWithout("SKIP_NATIVE=1 is set");
const nvcc = findNvcc();
if (nvcc === undefined) endWithout("no nvcc in CUDACXX, CUDA_HOME, CUDA_PATH, PATH or /usr/local/cuda");
if (findOnPath("cmake") === undefined) endWithout("no cmake in PATH");

const buildFolder = join(packageRoot, "build");
const cmakeJs = createRequire(import.meta.url).resolve("cmake-js/bin/cmake-js");
const generator = findOnPath("ninja") === undefined ? [] : ["-G", "Ninja"];

function compile() {
  const { status, error, stdout, stderr } = spawnSync(process.execPath, [cmakeJs, "compile", ...generator, "--parallel", "2"], {
    cwd: packageRoot,
    encoding: "utf8",
    env: { ...process.env, CUDACXX: nvcc },
  });
  return { succeeded: status === 0 && existsSync(addon), log: `${error?.message ?? ""}${stderr ?? ""}${stdout ?? ""}` };
}

/** The first line that names an error, with the one after it where the line only announces it. */
function causeIn(log) {
  const lines = log
    .split("\n")
    .map((line) => line.trim())
    .filter(Boolean);
  const index = lines.findIndex((line) => /error|fatal/i.test(line) && !/errors occurred|ERR! OMG/.test(line));
  if (index === -1) return lines.at(-1) ?? "no addon came out";
  return lines[index].endsWith(":") ? `${lines[index]} ${lines[index + 1] ?? ""}` : lines[index];
}

// CMake refuses a build folder that another generator or another place of the repository left behind.
const hadBuildFolder = existsSync(buildFolder);
let result = compile();
if (!result.succeeded && hadBuildFolder) {
  rmSync(buildFolder, { recursive: true, force: true });
  result = compile();
}
if (!result.succeeded) {
  rmSync(buildFolder, { recursive: true, force: true });
  endWithout(`the build with ${nvcc} failed: ${causeIn(result.log)}`, result.log);
}
