import { defineConfig } from "tsup";

export default defineConfig({
  entry: ["src/index.ts", "src/main.ts"],
  format: "esm",
  dts: true,
  clean: true,
  target: "node20",
  // tsup leaves out dependencies, but takes optional ones in; an addon is found beside its own package only.
  external: [/^@thermocline\//],
});
