import { existsSync, mkdtempSync, readdirSync, realpathSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { installProject, type Manifest, packWorkspace, readManifest, repository, runProgram, tarballsFor } from "./packed-packages.js";

// A path with a space, as some homes have.
const work = realpathSync(mkdtempSync(join(tmpdir(), "thermocline packed ")));
afterAll(() => rmSync(work, { recursive: true, force: true }));

const packed = packWorkspace(work);
const isPlatformPackage = (name: string) => name.startsWith("@thermocline/cpu-kernels-");
const platformPackage = `@thermocline/cpu-kernels-${process.platform}-${process.arch}`;
const hasBinary =
  packed.has(platformPackage) && existsSync(join(packed.get(platformPackage)!.folder, packed.get(platformPackage)!.manifest.main!));
if (!hasBinary) console.warn(`packed packages: ${platformPackage} holds no binary here; installing it is skipped`);
const libraries = [...packed.keys()].filter((name) => !isPlatformPackage(name));
const otherPlatforms = [...packed.keys()].filter((name) => isPlatformPackage(name) && !(hasBinary && name === platformPackage));

const specifiersOf = ({ name, exports = {} }: Manifest) => Object.keys(exports).map((subpath) => name + subpath.slice(1));
const projectOf = (name: string) => join(work, name.replace("/", "+"));
const runNode = (folder: string, code: string) => runProgram(process.execPath, ["--input-type=module", "--eval", code], folder).trim();

function listFiles(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: "utf8" }).map((file) => file.replaceAll("\\", "/"));
}

describe.each([...packed.keys()])("%s, packed", (name) => {
  const { manifest, tarball } = packed.get(name)!;
  const files = runProgram("tar", ["-tzf", tarball], work).trim().split("\n");

  it("holds readme, licence and what package.json points to", () => {
    expect(files).toEqual(expect.arrayContaining(["package/package.json", "package/LICENSE", "package/README.md"]));
    if (isPlatformPackage(name)) expect(files.includes(`package/${manifest.main}`)).toBe(hasBinary);
    else expect(files.filter((file) => file.startsWith("package/dist/")).length).toBeGreaterThan(1);
  });

  it("runs nothing when it is installed, and points to no workspace", () => {
    const hooks = ["preinstall", "install", "postinstall", "preprepare", "prepare", "postprepare"];
    expect(Object.keys(manifest.scripts ?? {}).filter((script) => hooks.includes(script))).toEqual([]);
    // npm compiles a package that holds this file.
    expect(files).not.toContain("package/binding.gyp");
    const versions = Object.values({ ...manifest.dependencies, ...manifest.optionalDependencies });
    expect(versions.filter((version) => /^(workspace|file|link):/.test(version))).toEqual([]);
  });

  it("holds no source, test or file of a build that nobody imports", () => {
    expect(files.filter((file) => /\/(src|test|csrc|node_modules|\.turbo)\//.test(file) || /\.(tsbuildinfo|tgz|log)$/.test(file))).toEqual(
      [],
    );
  });
});

describe("in an empty npm project, with nothing else of ours than it asks for", () => {
  it.each(libraries)("%s installs, and imports in plain Node by every export", (name) => {
    const project = projectOf(name);
    installProject(project, tarballsFor(name, packed, work, otherPlatforms));
    for (const specifier of specifiersOf(packed.get(name)!.manifest)) {
      expect(runNode(project, `console.log(Object.keys(await import("${specifier}")).length)`), specifier).toMatch(/^[1-9]/);
    }
  });

  it("every export has types that check under nodenext and strict, declarations included", () => {
    const consumers = libraries.map((name) => {
      const lines = specifiersOf(packed.get(name)!.manifest).flatMap((specifier, index) => [
        `import * as m${index} from "${specifier}";`,
        `export const names${index}: readonly string[] = Object.keys(m${index});`,
      ]);
      const file = join(projectOf(name), "consumer.ts");
      writeFileSync(file, lines.join("\n"));
      return file;
    });
    const compilerOptions = {
      module: "nodenext",
      target: "es2022",
      lib: ["es2023", "esnext.disposable"],
      strict: true,
      noEmit: true,
      types: ["node"],
      typeRoots: [join(repository, "node_modules", "@types")],
    };
    writeFileSync(join(work, "tsconfig.json"), JSON.stringify({ compilerOptions, files: consumers }));
    const tsc = join(repository, "node_modules", "typescript", "bin", "tsc");
    let output = "";
    try {
      output = runProgram(process.execPath, [tsc, "-p", work], work);
    } catch (error) {
      output = (error as { readonly stdout: string }).stdout;
    }
    expect(output).toBe("");
  });

  it("the command is linked and starts", () => {
    const command = join(
      projectOf("thermocline"),
      "node_modules",
      ".bin",
      process.platform === "win32" ? "thermocline.cmd" : "thermocline",
    );
    expect(runProgram(command, ["--version"], work).trim()).toBe(readManifest(packed.get("thermocline")!.folder).version);
  });
});

describe("the CPU addon", () => {
  const report = 'const m = await import("@thermocline/cpu-kernels"); console.log(JSON.stringify(m.cpuBackendAvailability()))';

  it.runIf(hasBinary)("arrives with the platform's package and loads", () => {
    const project = projectOf("@thermocline/cpu-kernels");
    expect(listFiles(join(project, "node_modules", "@thermocline", "cpu-kernels")).filter((file) => file.endsWith(".node"))).toEqual([]);
    expect(statSync(join(project, "node_modules", platformPackage, packed.get(platformPackage)!.manifest.main!)).size).toBeGreaterThan(
      10_000,
    );
    expect(JSON.parse(runNode(project, report))).toMatchObject({ available: true, isas: expect.arrayContaining(["scalar"]) });
  });

  it("is not needed: without the platform's package the reference runs and the absence has its reasons", () => {
    const project = join(work, "without platform package");
    const platformPackages = [...packed.keys()].filter(isPlatformPackage);
    installProject(project, tarballsFor("@thermocline/cpu-kernels", packed, work, platformPackages));
    expect(JSON.parse(runNode(project, report))).toEqual({
      available: false,
      reasons: [expect.any(String), expect.stringContaining(platformPackage)],
    });
    const created = runNode(
      project,
      'const m = await import("@thermocline/cpu-kernels/reference"); console.log(m.createReferenceBackend().device.kind)',
    );
    expect(created).toBe("cpu");
  });
});
