// Runs pnpm, at the version that package.json names, through npx: a fresh machine needs no global pnpm.
// Usage: node scripts/pn.mjs install --frozen-lockfile :: run build      (`::` separates commands; the first failure ends the chain)
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";

const { packageManager } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8"));
const pnpm = packageManager.split("+")[0];
for (const command of process.argv.slice(2).join(" ").split(" :: ")) {
  const env = { TURBO_TELEMETRY_DISABLED: "1", DO_NOT_TRACK: "1", ...process.env };
  // Without a terminal pnpm refuses to replace a node_modules that another version made, unless it believes to be in CI.
  if (command.startsWith("install") && !process.stdin.isTTY) env.CI ??= "1";
  const { status } = spawnSync(`npx -y --prefer-offline ${pnpm} ${command}`, { stdio: "inherit", shell: true, env });
  if (status !== 0) process.exit(status ?? 1);
}
