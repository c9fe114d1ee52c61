import { defineConfig } from "tsup";

export default defineConfig({
  entry: { index: "src/index.ts", "mip-worker": "src/exact/mip-worker.ts" },
  format: "esm",
  dts: true,
  clean: true,
  target: "node20",
});
