// Runs the native code under sanitizers: the harnesses of test/native under ASan with UBSan and under TSan, then this package's tests on an
// addon built with ASan and UBSan. Leaks are looked for in the harnesses only: Node itself keeps memory until it ends.
// Usage: node scripts/sanitize.mjs [address|thread|addon]...      (without arguments: all three)
import { spawnSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { compileAddon, findAddon, generatedDirectory, generateHeader, generator, missingTool, packageRoot } from "./build-native.mjs";

const checks = ["runtime_check", "kernel_check"];
const sanitizers = { address: "address,undefined", thread: "thread" };
const options = {
  ASAN_OPTIONS: "detect_leaks=1:halt_on_error=1",
  UBSAN_OPTIONS: "print_stacktrace=1:halt_on_error=1",
  TSAN_OPTIONS: "halt_on_error=1:second_deadlock_stack=1",
};

function run(label, command, args, env = {}) {
  console.log(`sanitize: ${label}`);
  const { status, signal } = spawnSync(command, args, { stdio: "inherit", cwd: packageRoot, env: { ...process.env, ...env } });
  if (status !== 0) throw new Error(`${label} failed with ${signal ?? `exit status ${status}`}`);
}

function checkHarnesses(name) {
  const directory = join(packageRoot, "build", "sanitize", name);
  mkdirSync(directory, { recursive: true });
  const definitions = ["THERMOCLINE_ADDON=OFF", "THERMOCLINE_HARNESS=ON", `THERMOCLINE_SANITIZE=${sanitizers[name]}`];
  const configure = ["-S", packageRoot, "-B", directory, "-G", generator(), ...definitions.map((definition) => `-D${definition}`)];
  run(`configure ${name}`, "cmake", [...configure, `-DTHERMOCLINE_GENERATED=${generatedDirectory}`]);
  run(`build ${name}`, "cmake", ["--build", directory, "--parallel", "2"]);
  for (const check of checks) run(`${check} with ${sanitizers[name]}`, join(directory, check), [], options);
}

/** The runtime library that has to be there before Node's own allocations. */
function runtimeLibrary(name) {
  const compiler = process.env.CXX ?? "c++";
  const { stdout } = spawnSync(compiler, [`-print-file-name=${name}`], { encoding: "utf8" });
  return stdout.trim();
}

function checkAddon() {
  const directory = join(packageRoot, "build", "sanitize", "addon");
  const { status, output } = compileAddon(directory, { THERMOCLINE_SANITIZE: sanitizers.address });
  const addon = findAddon(directory);
  if (status !== 0 || addon === undefined) throw new Error(`the sanitized addon could not be compiled\n${output}`);
  const vitest = createRequire(import.meta.url).resolve("vitest/vitest.mjs");
  run("vitest with address,undefined", process.execPath, [vitest, "run", "--no-file-parallelism"], {
    ...options,
    ASAN_OPTIONS: "detect_leaks=0:halt_on_error=1",
    LD_PRELOAD: ["libasan.so", "libubsan.so"].map(runtimeLibrary).join(":"),
    THERMOCLINE_CPU_BINDING: addon,
  });
}

const missing = missingTool();
if (missing !== undefined) {
  console.error(`sanitize: ${missing}`);
  process.exit(1);
}
await generateHeader();
const chosen = process.argv.slice(2);
for (const name of chosen.length > 0 ? chosen : ["address", "thread", "addon"]) {
  if (name === "addon") checkAddon();
  else if (name in sanitizers) checkHarnesses(name);
  else throw new Error(`unknown part ${name}`);
}
console.log("sanitize: everything passed");
