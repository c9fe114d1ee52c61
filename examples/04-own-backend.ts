/**
 * A backend written from nothing, held against the op cases that all backends must pass. Each op that it declares must be right at every
 * shape; each op that it does not declare must be refused while recording. Usage: node examples/dist/04-own-backend.js
 */
import { opCases, runOpCase } from "@thermocline/cpu-kernels/op-cases";
import { PlainBackend } from "./04-own-backend/plain-backend.js";

await using backend = new PlainBackend("plain:0");
const passed = new Map<string, number>();
const refused = new Set<string>();
for (const opCase of opCases) {
  const { status, detail } = await runOpCase(opCase, backend);
  if (status === "passed") passed.set(opCase.op, (passed.get(opCase.op) ?? 0) + 1);
  if (status === "unsupported") refused.add(opCase.op);
  if (status === "failed") {
    console.log(`FAILED ${opCase.name}: ${detail}`);
    process.exitCode = 1;
  }
}
for (const [op, count] of passed) console.log(`${op}: ${count} cases passed`);
console.log(`refused, as its traits say: ${[...refused].join(", ")}`);
