/**
 * Splits every layer's feed-forward neurons over two devices and compares with the whole model on one.
 * Usage: node examples/dist/03-two-devices.js [model.gguf]
 */
import { listOffloadUnits } from "@thermocline/core";
import { cpuBackendAvailability } from "@thermocline/cpu-kernels";
import { createSharePlan } from "@thermocline/solver";
import { formatMemory, type OpenedModel, open } from "thermocline";

const [path = "models/stories15M-q8_0.gguf"] = process.argv.slice(2);
// Without a compiler there is no CPU addon, and the split runs on two devices of the reference backend.
const backend = cpuBackendAvailability().available ? "cpu" : "reference";

async function answer(model: OpenedModel): Promise<string> {
  let text = "";
  const request = { prompt: "Once upon a time", maxTokens: 32, sampling: { temperature: 0 } };
  for await (const event of model.generate(request)) if (event.type === "text-delta") text += event.text;
  return text;
}

await using dense = await open(path, { backend, threads: 1 });
const plan = createSharePlan({
  model: dense.identity,
  units: listOffloadUnits(dense.source, dense.config),
  devices: { [`${backend}:0`]: { backend, threads: 1 }, [`${backend}:1`]: { backend, threads: 1 } },
  shares: { [`${backend}:1`]: 0.5 },
});
await using split = await open(path, { plan, trace: true });

const [denseText, splitText] = [await answer(dense), await answer(split)];
console.log(`dense: ${denseText}\nsplit: ${splitText}\n`);
console.log(formatMemory(split.memory()));
const { overlappedMs, shorterLegMs } = split.statistics().overlap!;
console.log(`\nboth devices at work for ${((overlappedMs / shorterLegMs) * 100).toFixed(0)} % of the time that they could be`);
