import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { repository } from "./packed-packages.js";

it("the index of decisions lists every record under its own title", () => {
  const folder = join(repository, "decisions");
  const records = readdirSync(folder).filter((name) => /^\d{4}-\d{2}-\d{2}-/.test(name));
  const lines = records.map((name) => {
    const title = readFileSync(join(folder, name), "utf8").split("\n")[0]!.replace(/^# /, "");
    return `| ${name.slice(0, 10)} | [${title}](${name}) |`;
  });
  const index = readFileSync(join(folder, "README.md"), "utf8").split("\n");
  expect(records.length).toBeGreaterThan(0);
  expect(index.filter((line) => /^\| \d{4}-/.test(line)).sort()).toEqual(lines.sort());
});
