import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";

const script = fileURLToPath(new URL("../scripts/build-native.mjs", import.meta.url));
const isBuilt = existsSync(new URL("../dist/index.js", import.meta.url));

async function run(args: readonly string[], env: Record<string, string>) {
  const { CXX: _, REQUIRE_NATIVE: __, SKIP_NATIVE: ___, ...inherited } = process.env;
  const options = { env: { ...inherited, ...env }, cwd: fileURLToPath(new URL("..", import.meta.url)) };
  try {
    const { stdout } = await promisify(execFile)(process.execPath, args, options);
    return { code: 0, output: stdout.trim() };
  } catch (error) {
    const { code, stdout } = error as { code: number; stdout: string };
    return { code, output: stdout.trim() };
  }
}

describe("the native build", () => {
  it("says in one line that it was left out, and succeeds", async () => {
    const { code, output } = await run([script], { SKIP_NATIVE: "1" });
    expect(code).toBe(0);
    expect(output).toBe("cpu-kernels: native addon not built: SKIP_NATIVE=1 is set; the reference backend will be used");
  });

  it("says in one line what is missing on a machine without tools", async () => {
    const { code, output } = await run([script], { PATH: join(tmpdir(), "no such folder") });
    expect(code).toBe(0);
    expect(output).toBe("cpu-kernels: native addon not built: cmake was not found; the reference backend will be used");
  });

  it("fails where the addon is required", async () => {
    const { code, output } = await run([script], { PATH: join(tmpdir(), "no such folder"), REQUIRE_NATIVE: "1" });
    expect(code).toBe(1);
    expect(output).toMatch(/cmake was not found/);
  });
});

describe.runIf(isBuilt)("a machine without the addon", () => {
  it("gets an error that lists what was tried, and a report that does not throw", async () => {
    const missing = join(tmpdir(), "no such addon.node");
    const program = `
      import { cpuBackendAvailability, cpuTraits, createCpuBackend } from "@thermocline/cpu-kernels";
      const { available, reasons } = cpuBackendAvailability();
      let error;
      try { createCpuBackend(); } catch (thrown) { error = thrown; }
      console.log(JSON.stringify({ available, reasons, code: error.code, name: error.name, cure: error.cure, kind: cpuTraits.kind }));`;
    const { code, output } = await run(["--input-type=module", "--eval", program], { THERMOCLINE_CPU_BINDING: missing });
    expect(code).toBe(0);
    const report = JSON.parse(output);
    expect(report).toMatchObject({ available: false, code: "backend-unavailable", name: "BackendUnavailableError", kind: "cpu" });
    expect(report.reasons).toHaveLength(1);
    expect(report.reasons[0]).toContain(missing);
    expect(report.cure).toMatch(/reference backend/);
  });
});
