import { defineConfig } from "tsup";

export default defineConfig({
  entry: ["src/index.ts", "src/traits.ts", "src/reference/index.ts", "src/op-cases/index.ts"],
  format: "esm",
  dts: true,
  clean: true,
  target: "node20",
});
