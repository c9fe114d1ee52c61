// Who may import whom. As a program it checks this repository, prints one line a violation and exits with 1 where there is one.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { isBuiltin } from "node:module";
import { dirname, join, relative, resolve, sep } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";

const spec = "@thermocline/spec";
const libraries = [spec, ...["loader-gguf", "solver", "cpu-kernels", "cuda-kernels", "core"].map((name) => `@thermocline/${name}`)];

/** Packages that the code under `src` may import when it runs. Types may come from anywhere that package.json declares, but not into spec. */
const mayImport = {
  [spec]: [],
  "@thermocline/loader-gguf": [spec],
  "@thermocline/solver": [spec],
  "@thermocline/cpu-kernels": [spec],
  "@thermocline/cuda-kernels": [spec],
  "@thermocline/core": [spec],
  "@thermocline/server": [spec],
  thermocline: libraries,
};

/** What tests may import on top of that: whole specifiers. */
const testsMayImport = {
  // Whole models are run on every backend that there is.
  "@thermocline/core": [
    "@thermocline/cpu-kernels",
    "@thermocline/cpu-kernels/reference",
    "@thermocline/cpu-kernels/traits",
    "@thermocline/loader-gguf",
  ],
  "@thermocline/cuda-kernels": ["@thermocline/cpu-kernels/reference", "@thermocline/cpu-kernels/op-cases"],
  // Requests are answered by a real engine.
  "@thermocline/server": ["@thermocline/core", "@thermocline/cpu-kernels/reference", "@thermocline/loader-gguf"],
};

/**
 * Folders whose code also runs in a browser: Node's modules are loaded there by `import()` alone, where a caller asks for a file, and other
 * files of the package only where they are held to the same.
 */
const browserFolders = [
  "packages/spec/src",
  "packages/solver/src",
  "packages/loader-gguf/src",
  "packages/cpu-kernels/src/reference",
  "packages/core/src/demand",
  "packages/core/src/graph",
  "packages/core/src/layers",
  "packages/core/src/models",
  "packages/core/src/config",
];
/** Single files of other folders. */
const browserFiles = [
  "packages/core/src/embedder-options.ts",
  "packages/core/src/engine-options.ts",
  "packages/core/src/kv-cache/kv-dtype.ts",
  "packages/core/src/kv-cache/kv-groups.ts",
  "packages/core/src/offload-units.ts",
  "packages/core/src/placement.ts",
  "packages/core/src/unit-weights.ts",
  "packages/cpu-kernels/src/traits.ts",
];

const isOurs = (name) => name === "thermocline" || name.startsWith("@thermocline/");
const slashed = (path) => path.split(sep).join("/");

function sourceFiles(folder) {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return ["node_modules", "dist", "build"].includes(entry.name) ? [] : sourceFiles(path);
    const isSource = /\.(m?[jt]s|tsx)$/.test(entry.name) && !/\.(d\.m?ts|config\.m?[jt]s)$/.test(entry.name);
    return isSource ? [path] : [];
  });
}

/** Every module specifier of a file: `kind` is static, dynamic (`import()` and `require()`) or type. */
export function listImports(text, fileName = "file.ts") {
  const file = ts.createSourceFile(fileName, text, ts.ScriptTarget.Latest, false);
  const imports = [];
  const add = (node, literal, kind) => {
    if (literal === undefined || !ts.isStringLiteralLike(literal)) return;
    imports.push({ specifier: literal.text, kind, line: file.getLineAndCharacterOfPosition(node.getStart(file)).line + 1 });
  };
  const visit = (node) => {
    if (ts.isImportDeclaration(node)) add(node, node.moduleSpecifier, node.importClause?.isTypeOnly ? "type" : "static");
    else if (ts.isExportDeclaration(node)) add(node, node.moduleSpecifier, node.isTypeOnly ? "type" : "static");
    else if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)) add(node, node.argument.literal, "type");
    else if (ts.isCallExpression(node)) {
      const isRequire = ts.isIdentifier(node.expression) && node.expression.text === "require";
      if (isRequire || node.expression.kind === ts.SyntaxKind.ImportKeyword) add(node, node.arguments[0], "dynamic");
    }
    ts.forEachChild(node, visit);
  };
  visit(file);
  return imports;
}

function readPackages(root) {
  const folders = existsSync(join(root, "packages")) ? readdirSync(join(root, "packages")).map((name) => join(root, "packages", name)) : [];
  return [...folders, join(root, "examples"), join(root, "bench")].flatMap((folder) => {
    const file = join(folder, "package.json");
    return existsSync(file) ? [{ folder, manifest: JSON.parse(readFileSync(file, "utf8")) }] : [];
  });
}

function splitSpecifier(specifier) {
  const parts = specifier.split("/");
  const length = specifier.startsWith("@") ? 2 : 1;
  return { name: parts.slice(0, length).join("/"), subpath: parts.length === length ? "." : `./${parts.slice(length).join("/")}` };
}

/** All violations below `root`, one line each: `packages/core/src/x.ts:3 imports y: why not`. */
export function findViolations(root) {
  const packages = readPackages(root);
  const manifests = new Map(packages.map(({ manifest }) => [manifest.name, manifest]));
  const browserRoots = [...browserFolders.map((folder) => join(root, folder) + sep), ...browserFiles.map((file) => join(root, file))];
  return packages.flatMap((self) => {
    const isExample = !(self.manifest.name in mayImport);
    const folders = isExample ? ["."] : ["src", "test", "bin"];
    return folders
      .flatMap((folder) => sourceFiles(join(self.folder, folder)))
      .flatMap((file) => {
        const isTest = file.endsWith(".test.ts") || file.startsWith(join(self.folder, "test") + sep);
        const context = {
          self,
          manifests,
          isExample,
          isTest,
          file,
          browserRoots,
          inBrowser: !isTest && browserRoots.some((folder) => file.startsWith(folder)),
        };
        return listImports(readFileSync(file, "utf8"), file).flatMap((entry) => {
          const problem = problemOf(entry, context);
          return problem === undefined ? [] : [`${slashed(relative(root, file))}:${entry.line} imports ${entry.specifier}: ${problem}`];
        });
      });
  });
}

function problemOf({ specifier, kind }, { self, manifests, isExample, isTest, file, browserRoots, inBrowser }) {
  const { manifest, folder } = self;
  if (specifier.startsWith(".")) {
    const target = resolve(dirname(file), specifier);
    const isCode = !specifier.endsWith(".json");
    if (inBrowser && isCode && kind === "static" && !browserRoots.some((path) => target.replace(/\.js$/, ".ts").startsWith(path)))
      return "this file also runs in a browser, and that one is not held to it; name it in scripts/check-imports.mjs";
    const leaves = relative(folder, target).startsWith("..");
    return leaves ? `leaves the package; import ${isExample ? "a package" : "another package"} by its name` : undefined;
  }
  if (isBuiltin(specifier))
    return inBrowser && kind === "static" ? "this folder also runs in a browser; load it by import() where a file is asked for" : undefined;
  const { name, subpath } = splitSpecifier(specifier);
  const { dependencies = {}, optionalDependencies = {}, devDependencies = {} } = manifest;
  // A test may start a program that has to run on the built package.
  if (name === manifest.name) return isTest ? undefined : "imports its own package; use a relative path";
  if (isOurs(name)) {
    const target = manifests.get(name);
    if (target !== undefined && !Object.hasOwn(target.exports ?? { ".": "" }, subpath)) return `${name} does not export ${subpath}`;
    const allowed =
      isExample || mayImport[manifest.name].includes(name) || (isTest && (testsMayImport[manifest.name] ?? []).includes(specifier));
    const asType = kind === "type" && manifest.name !== spec;
    // A platform package is no code of ours: it holds one binary.
    if (target !== undefined && !allowed && !asType) return `${manifest.name} may not import ${name}${isTest ? " in tests" : ""}`;
  }
  const isDeclared =
    Object.hasOwn(dependencies, name) || Object.hasOwn(optionalDependencies, name) || (isTest && Object.hasOwn(devDependencies, name));
  const isWorkspaceTool = isTest && ["vitest", "typescript"].includes(name);
  if (!isDeclared && !isWorkspaceTool) return `${manifest.name} does not declare ${name} as a dependency`;
  if (Object.hasOwn(optionalDependencies, name) && kind === "static") return `${name} is optional and may be absent; load it by import()`;
  return undefined;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const violations = findViolations(fileURLToPath(new URL("..", import.meta.url)).replace(/[\\/]$/, ""));
  for (const violation of violations) console.error(violation);
  if (violations.length > 0) process.exitCode = 1;
  else console.log("imports: every direction is allowed");
}
