import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { repository } from "./packed-packages.js";
import { sumResults } from "./test-results.mjs";

let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "test results "));
  symlinkSync(join(repository, "node_modules"), join(folder, "node_modules"), "junction");
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** Writes test files and runs vitest over them; returns where the report lies. */
function report(files: Readonly<Record<string, string>>): string {
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), `import { expect, it } from "vitest";\n${text}`);
  const vitest = join(repository, "node_modules", "vitest", "vitest.mjs");
  const output = join(folder, "results.json");
  spawnSync(process.execPath, [vitest, "run", "--root", folder, "--reporter=json", `--outputFile.json=${output}`], { cwd: folder });
  return output;
}

const passes = 'it("adds", () => expect(1 + 1).toBe(2));';

describe("sumResults", () => {
  it("counts tests that pass, fail and are skipped over several reports", () => {
    const file = report({
      "a.test.ts": `${passes}\nit("fails", () => expect(1).toBe(2));\nit.runIf(false)("waits", () => {});`,
      "b.test.ts": passes,
    });
    expect(sumResults([file])).toEqual({ passed: 2, failed: 1, skipped: 1, problems: [] });
    expect(sumResults([file, file])).toMatchObject({ passed: 4, failed: 2, skipped: 2 });
  });

  it("counts a file that cannot be imported as a failure, and names it", () => {
    const file = report({ "a.test.ts": passes, "broken.test.ts": 'import "./nowhere.js";' });
    expect(sumResults([file])).toEqual({ passed: 1, failed: 1, skipped: 0, problems: [expect.stringContaining("broken.test.ts")] });
  });

  it("counts a missing report as a failure", () => {
    expect(sumResults([join(folder, "nowhere.json")])).toEqual({
      passed: 0,
      failed: 1,
      skipped: 0,
      problems: [expect.stringContaining("nowhere.json")],
    });
  });
});
