// Runs the native code under sanitizers: the harnesses of test/native under ASan with UBSan and under TSan, then this package's tests on an
// addon built with ASan and UBSan. Leaks are looked for in the harnesses only: Node itself keeps memory until it ends.
// Usage: node scripts/sanitize.mjs [address|thread|addon]...      (without arguments: all three; `addon` uses the build of `address`)
import { spawnSync } from "node:child_process";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { compileAddon, findAddon, generateHeader, missingTool, packageRoot } from "./build-native.mjs";

const checks = ["runtime_check", "kernel_check"];
const sanitizers = { address: "address,undefined", thread: "thread" };
const options = {
  // A refused allocation is an answer that the code under test handles.
  ASAN_OPTIONS: "detect_leaks=1:halt_on_error=1:allocator_may_return_null=1",
  UBSAN_OPTIONS: "print_stacktrace=1:halt_on_error=1",
  TSAN_OPTIONS: "halt_on_error=1:second_deadlock_stack=1",
};

function run(label, command, args, env = {}) {
  console.log(`sanitize: ${label}`);
  const { status, signal } = spawnSync(command, args, { stdio: "inherit", cwd: packageRoot, env: { ...process.env, ...env } });
  if (status !== 0) throw new Error(`${label} failed with ${signal ?? `exit status ${status}`}`);
}

const buildDirectory = (name) => join(packageRoot, "build", "sanitize", name);

/** Harnesses, and where `addon` says so the addon beside them, so that the kernels are compiled once a sanitizer. */
function build(name, addon) {
  const definitions = { THERMOCLINE_HARNESS: "ON", THERMOCLINE_ADDON: addon ? "ON" : "OFF", THERMOCLINE_SANITIZE: sanitizers[name] };
  console.log(`sanitize: build with ${sanitizers[name]}`);
  const { status, output } = compileAddon(buildDirectory(name), definitions);
  if (status !== 0) throw new Error(`the build with ${sanitizers[name]} failed\n${output}`);
}

function checkHarnesses(name) {
  build(name, name === "address");
  for (const check of checks) run(`${check} with ${sanitizers[name]}`, join(buildDirectory(name), check), [], options);
}

/** The runtime library that has to be there before Node's own allocations. */
function runtimeLibrary(name) {
  const compiler = process.env.CXX ?? "c++";
  const { stdout } = spawnSync(compiler, [`-print-file-name=${name}`], { encoding: "utf8" });
  return stdout.trim();
}

function checkAddon() {
  build("address", true);
  const addon = findAddon(buildDirectory("address"));
  if (addon === undefined) throw new Error("the build with sanitizers left no addon");
  const vitest = join(dirname(createRequire(import.meta.url).resolve("vitest/package.json")), "vitest.mjs");
  run("vitest with address,undefined", process.execPath, [vitest, "run", "--no-file-parallelism"], {
    ...options,
    ASAN_OPTIONS: "detect_leaks=0:halt_on_error=1:allocator_may_return_null=1",
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
