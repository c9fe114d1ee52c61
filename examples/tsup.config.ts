import { defineConfig } from "tsup";

// Plain Node runs what this writes; `await using` becomes what Node 20 knows.
export default defineConfig({ entry: ["0*.ts"], format: "esm", clean: true, target: "node20" });
