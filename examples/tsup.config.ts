import { resolve } from "node:path";
import { defineConfig, type Options } from "tsup";

// Plain Node runs what this writes; `await using` becomes what Node 20 knows.
const common = { format: "esm", target: "node20" } as const;

// Our own packages go into these: they run where nothing is installed.
const selfContained = { noExternal: [/./], external: [/^node:/, "highs"], splitting: false, silent: true };

/** `import text from "./file.ts?text"`: the file and all that it imports, as the text of one classic script. */
const bundledText: NonNullable<Options["esbuildPlugins"]>[number] = {
  name: "bundled-text",
  setup({ onResolve, onLoad, esbuild, initialOptions: { target, external } }) {
    onResolve({ filter: /\?text$/ }, ({ path, resolveDir }) => ({
      path: resolve(resolveDir, path.slice(0, -"?text".length)),
      namespace: "bundled-text",
    }));
    onLoad({ filter: /./, namespace: "bundled-text" }, async ({ path }) => {
      const common = { bundle: true, write: false, minify: true, format: "iife", platform: "browser", logLevel: "error" } as const;
      const { outputFiles } = await esbuild.build({ ...common, entryPoints: [path], target, external: ["node:*", ...(external ?? [])] });
      return { contents: outputFiles[0]!.text, loader: "text" };
    });
  },
};

export default defineConfig([
  { ...common, entry: ["0[1-4]*.ts"], clean: ["!05-plan-offline.js"] },
  { ...common, ...selfContained, entry: ["05-plan-offline.ts"] },
  {
    ...selfContained,
    entry: { planner: "05-plan-offline/page.ts" },
    outDir: "../docs/plan-offline",
    // A classic script: browsers load no modules from files.
    format: "iife",
    outExtension: () => ({ js: ".js" }),
    platform: "browser",
    esbuildPlugins: [bundledText],
    target: "es2022",
    minify: true,
  },
]);
