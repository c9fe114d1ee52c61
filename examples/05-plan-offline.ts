/**
 * Plans a model for a machine that need not be here: no native package, no GPU, and of the file only the header is read.
 * Usage: node examples/dist/05-plan-offline.js [model.gguf or address] [VRAM in GiB] [RAM in GiB] [context length] [map.svg]
 */
import { writeFile } from "node:fs/promises";
import { openGguf } from "@thermocline/loader-gguf";
import { budgetCurve, createPlan, drawPlan, explainPlan, largestContext } from "@thermocline/solver";
import { ThermoclineError } from "@thermocline/spec";
import { offlineRequest } from "./05-plan-offline/offline-request.js";

const [location = "models/stories15M-q8_0.gguf", vram = "8", ram = "32", context, svgPath] = process.argv.slice(2);
const gib = 2 ** 30;
const [vramBytes, ramBytes] = [Math.round(Number(vram) * gib), Math.round(Number(ram) * gib)];

try {
  await using source = await openGguf(location);
  const request = offlineRequest(source, { vramBytes, ramBytes, ...(context !== undefined && { contextLength: Number(context) }) });
  const plan = await createPlan(request);
  console.log(explainPlan(plan, { colour: process.stdout.isTTY }));

  const { contextLength } = await largestContext(request);
  console.log(`\nlongest context that fits: ${contextLength} tokens`);
  const curve = vramBytes > 0 ? await budgetCurve(request, "cuda:0", [vramBytes / 2, vramBytes, vramBytes * 2]) : [];
  for (const { bytes, tokensPerSecond } of curve)
    console.log(
      `with ${bytes / gib} GiB of VRAM: ${tokensPerSecond === undefined ? "nothing fits" : `${tokensPerSecond.toFixed(1)} tokens a second`}`,
    );
  if (svgPath !== undefined) await writeFile(svgPath, drawPlan(plan));
} catch (error) {
  if (!ThermoclineError.isInstance(error)) throw error;
  console.error(error.message);
  process.exitCode = 1;
}
