import { defineConfig } from "tsup";

// Plain Node runs what this writes; `await using` becomes what Node 20 knows.
const common = { format: "esm", target: "node20" } as const;

// Our own packages go into these: they run where nothing is installed.
const selfContained = { noExternal: [/./], external: [/^node:/, "highs"], splitting: false, silent: true };

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
    target: "es2022",
    minify: true,
  },
]);
