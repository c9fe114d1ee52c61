import { mkdtempSync, rmSync } from "node:fs";
import { availableParallelism, tmpdir, totalmem } from "node:os";
import { join } from "node:path";
import { parseMachineProfile } from "@thermocline/solver";
import { afterAll, describe, expect, it } from "vitest";
import { calibrateMachine } from "../../src/machine/calibrate-machine.js";
import { readMachineInventory } from "../../src/machine/machine-inventory.js";
import { profilePath, readSavedProfile, saveProfile } from "../../src/machine/profile-cache.js";
import { thermocline } from "../support/command.js";

const folder = mkdtempSync(join(tmpdir(), "thermocline-doctor-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const env = { XDG_CACHE_HOME: folder };

describe("thermocline doctor", () => {
  it("shows the machine, what it lacks and what helps, and ends with 0", async () => {
    const { exitCode, stdout, stderr } = await thermocline(["doctor"], "", env);
    expect([exitCode, stderr]).toEqual([0, ""]);
    for (const row of ["platform", "processor", "kernels", "memory", "for models", "CUDA", "measured"])
      expect(stdout).toMatch(new RegExp(`^${row} {2,}\\S`, "m"));
    expect(stdout).toMatch(/^measured +no: this machine was not measured$/m);
    // Every finding has a line that says what to do.
    const findings = stdout.split("\n\n")[1]!.trimEnd().split("\n");
    expect(findings.filter((line) => line.startsWith("- ")).length * 2).toBe(findings[0] === "nothing is missing" ? 0 : findings.length);
  });

  it("says the same as JSON", async () => {
    const { exitCode, stdout } = await thermocline(["doctor", "--json"], "", env);
    expect(exitCode).toBe(0);
    const report = JSON.parse(stdout);
    expect(report).toMatchObject({
      processor: { parallelism: availableParallelism() },
      memory: { totalBytes: totalmem() },
      calibration: { reason: "this machine was not measured" },
    });
    for (const finding of report.findings)
      expect(finding).toEqual({ code: expect.any(String), problem: expect.any(String), cure: expect.any(String) });
  });

  it("finds a measurement again that was saved", async () => {
    const inventory = await readMachineInventory();
    const profile = await calibrateMachine(inventory, { timeBudgetMs: 0 });
    expect(parseMachineProfile(JSON.stringify(profile))).toEqual(profile);
    const before = process.env.XDG_CACHE_HOME;
    process.env.XDG_CACHE_HOME = folder;
    const path = profilePath(inventory);
    if (before === undefined) delete process.env.XDG_CACHE_HOME;
    else process.env.XDG_CACHE_HOME = before;
    await saveProfile(path, profile);
    expect(await readSavedProfile(path, inventory)).toEqual({ profile });

    const { stdout } = await thermocline(["doctor", "--json"], "", env);
    expect(JSON.parse(stdout).calibration).toEqual({ path, profile });
  });
});
