import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { findViolations, listImports } from "./check-imports.mjs";

let root = "";

function write(path: string, text: string): void {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), text);
}

function writePackage(folder: string, name: string, manifest: object = {}): void {
  write(`${folder}/package.json`, JSON.stringify({ name, exports: { ".": {}, "./reference": {} }, ...manifest }));
}

const workspace = (...names: string[]) =>
  Object.fromEntries(names.map((name) => [name === "thermocline" ? name : `@thermocline/${name}`, "workspace:*"]));

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "check imports "));
  writePackage("packages/spec", "@thermocline/spec", { exports: { ".": {}, "./command-header": {} } });
  for (const name of ["loader-gguf", "solver", "cpu-kernels", "cuda-kernels"])
    writePackage(`packages/${name}`, `@thermocline/${name}`, { dependencies: workspace("spec") });
  const devDependencies = workspace("cpu-kernels", "loader-gguf", "solver");
  writePackage("packages/core", "@thermocline/core", { dependencies: { ...workspace("spec"), commander: "1" }, devDependencies });
  const dependencies = workspace("spec", "core", "solver");
  writePackage("packages/cli", "thermocline", { dependencies, optionalDependencies: workspace("cuda-kernels") });
  writePackage("examples", "@thermocline/examples", { dependencies: workspace("thermocline", "core") });
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

describe("findViolations", () => {
  it("lets a library import spec and what it declares, a test the reference, the command what is optional by import()", () => {
    write(
      "packages/core/src/a.ts",
      'import { x } from "@thermocline/spec";\nimport "commander";\nimport fs from "node:fs";\nimport { b } from "./b.js";',
    );
    write(
      "packages/core/test/a.test.ts",
      'import { it } from "vitest";\nimport { x } from "@thermocline/cpu-kernels/reference";\nimport "../src/a.js";',
    );
    write(
      "packages/cli/src/main.ts",
      'import "@thermocline/core";\nconst cuda = await import("@thermocline/cuda-kernels");\nimport type { X } from "@thermocline/cuda-kernels";',
    );
    write("examples/01.ts", 'import { open } from "thermocline";');
    write("packages/core/dist/a.js", 'import "@thermocline/solver";');
    expect(findViolations(root)).toEqual([]);
  });

  const cases: readonly [what: string, path: string, text: string, expected: RegExp][] = [
    [
      "a sibling",
      "packages/solver/src/a.ts",
      'import { x } from "@thermocline/core";',
      /^packages\/solver\/src\/a.ts:1 .*may not import @thermocline\/core$/,
    ],
    ["a sibling by export from", "packages/solver/src/a.ts", 'export * from "@thermocline/core";', /may not import @thermocline\/core/],
    [
      "a sibling by import()",
      "packages/solver/src/a.ts",
      'const x = await import("@thermocline/core");',
      /may not import @thermocline\/core/,
    ],
    ["a sibling by require()", "packages/solver/src/a.ts", 'const x = require("@thermocline/core");', /may not import @thermocline\/core/],
    ["anything from spec", "packages/spec/src/a.ts", '\n\nimport { x } from "@thermocline/core";', /a.ts:3 .*spec may not import/],
    ["a type from spec", "packages/spec/src/a.ts", 'import type { X } from "@thermocline/core";', /spec may not import/],
    ["a package from spec", "packages/spec/src/a.ts", 'import "commander";', /does not declare commander/],
    ["upwards", "packages/core/src/a.ts", 'import "thermocline";', /may not import thermocline/],
    [
      "the reference outside of tests",
      "packages/core/src/a.ts",
      'import "@thermocline/cpu-kernels/reference";',
      /may not import @thermocline\/cpu-kernels/,
    ],
    [
      "a sibling that tests may not see",
      "packages/core/test/a.test.ts",
      'import "@thermocline/solver";',
      /may not import @thermocline\/solver in tests/,
    ],
    ["past the exports", "packages/core/src/a.ts", 'import "@thermocline/spec/src/dtype.js";', /does not export .\/src\/dtype.js/],
    ["past the exports of an example", "examples/01.ts", 'import "thermocline/dist/main.js";', /does not export/],
    ["another package's files", "packages/core/src/a.ts", 'import "../../spec/src/index.js";', /leaves the package/],
    ["its own package by name", "packages/core/src/a.ts", 'import "@thermocline/core";', /its own package/],
    [
      "an undeclared type",
      "packages/solver/src/a.ts",
      'import type { X } from "@thermocline/core";',
      /does not declare @thermocline\/core/,
    ],
    [
      "an undeclared type in an expression",
      "packages/solver/src/a.ts",
      'let x: import("@thermocline/core").X;',
      /does not declare @thermocline\/core/,
    ],
    ["a tool of tests in the source", "packages/core/src/a.ts", 'import "vitest";', /does not declare vitest/],
    ["something optional at once", "packages/cli/src/a.ts", 'import "@thermocline/cuda-kernels";', /optional.*import\(\)/],
    ["Node where a browser runs", "packages/solver/src/a.ts", 'import { readFile } from "node:fs/promises";', /browser/],
    ["Node behind what a browser loads", "packages/core/src/demand/a.ts", 'import "../kv-cache/block-keys.js";', /browser.*not held to it/],
    ["a library that an example does not declare", "examples/01.ts", 'import "@thermocline/solver";', /does not declare/],
  ];
  it.each(cases)("catches %s", (_what, path, text, expected) => {
    write(path, text);
    expect(findViolations(root)).toEqual([expect.stringMatching(expected)]);
  });
});

describe("listImports", () => {
  it("sees no import in comments and texts", () => {
    expect(listImports('// import "a";\nconst x = `import "b"`;\nimport { type C } from "c";')).toEqual([
      { specifier: "c", kind: "static", line: 3 },
    ]);
  });
});
