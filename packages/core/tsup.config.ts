import { defineConfig } from "tsup";

export default defineConfig({
  entry: ["src/index.ts", "src/demand/index.ts", "src/tokenizer/index.ts"],
  format: "esm",
  dts: true,
  clean: true,
  target: "node20",
});
