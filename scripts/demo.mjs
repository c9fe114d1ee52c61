// Tells one story twice with the embedded model: whole on one device, then split over three as a plan says. `npm start` runs it.
import { readFile } from "node:fs/promises";
import { cpus } from "node:os";
import { fileURLToPath } from "node:url";
import { formatMemory, open } from "../packages/cli/dist/index.js";
import { cpuBackendAvailability } from "../packages/cpu-kernels/dist/index.js";

const inRepository = (path) => fileURLToPath(new URL(`../${path}`, import.meta.url));
const modelPath = inRepository("models/stories15M-q8_0.gguf");
const planPath = inRepository("models/stories15M-split.plan.json");

const prompt = "Once upon a time, a little lake";
// Log-probabilities tell how near two tokens were, should the stories part.
const request = { prompt, maxTokens: 200, sampling: { temperature: 0 }, logprobs: 2 };

const plan = JSON.parse(await readFile(planPath, "utf8"));
const { available } = cpuBackendAvailability();
if (!available) {
  console.log(
    "The CPU addon was not built (is there a C++ compiler and cmake?): everything runs on the reference backend, in JavaScript.\n",
  );
  // The same shares on devices that are there; they take turns on one thread, so nothing can overlap.
  for (const device of Object.values(plan.devices)) Object.assign(device, { backend: "reference", threads: undefined });
}

console.log(`${cpus()[0]?.model ?? "unknown processor"}, ${cpus().length} cores, Node ${process.version}`);
const dense = await tell(`Whole, on ${available ? "cpu:0 with 1 thread" : "reference:0"}`, {
  backend: available ? "cpu" : "reference",
  threads: 1,
});
const split = await tell(`Split, from models/stories15M-split.plan.json over ${Object.keys(plan.devices).join(", ")}`, {
  plan,
  trace: true,
});

console.log(`\n=== The two\n`);
console.log(`       first token after   then`);
for (const [name, { usage }] of Object.entries({ whole: dense, split })) {
  console.log(`${name}  ${usage.timeToFirstTokenMs.toFixed(1).padStart(14)} ms   ${tokensPerSecond(usage).toFixed(1)} tok/s`);
}
console.log(`\n${compare(dense, split)}`);
console.log(describeOverlap(split.statistics));

async function tell(title, options) {
  console.log(`\n=== ${title}\n`);
  const model = await open(modelPath, options);
  try {
    process.stdout.write(prompt);
    const told = { text: "", steps: [], usage: undefined, statistics: undefined };
    for await (const event of model.generate(request)) {
      if (event.type === "end") {
        told.usage = event.usage;
        continue;
      }
      process.stdout.write(event.text);
      told.text += event.text;
      told.steps.push(...(event.logprobs ?? []));
    }
    told.statistics = model.statistics();
    console.log(`\n\n${formatMemory(model.memory())}`);
    return told;
  } finally {
    await model[Symbol.asyncDispose]();
  }
}

function tokensPerSecond({ completionTokens, decodeMs }) {
  return ((completionTokens - 1) * 1000) / decodeMs;
}

/** Devices round differently, so that greedy texts may part where two tokens are almost equally likely. */
function compare(whole, split) {
  if (whole.text === split.text) return "The two stories are the same, letter by letter.";
  const parting = whole.steps.findIndex(({ tokenId }, step) => split.steps[step]?.tokenId !== tokenId);
  const margin = ({ top }) => (top[0][1] - top[1][1]).toFixed(3);
  return (
    `The two stories are the same for ${parting} tokens and part where the two likeliest tokens were ${margin(whole.steps[parting])} nats apart ` +
    `for the whole model, ${margin(split.steps[parting])} for the split one: the backends round differently.`
  );
}

function describeOverlap({ overlap, steps }) {
  if (!available) return "All devices share one JavaScript thread here, so their parts took turns.";
  const { overlappedMs, shorterLegMs } = overlap;
  const numParts = steps * plan.units.filter(({ device }) => device === "cpu:1").length;
  return (
    `Split layers: cpu:0 and cpu:1 were at work at once for ${overlappedMs.toFixed(1)} of the ${shorterLegMs.toFixed(1)} ms that the shorter ` +
    `parts took (${((overlappedMs / shorterLegMs) * 100).toFixed(0)} %); a part of this small model takes ` +
    `${((shorterLegMs * 1000) / numParts).toFixed(0)} µs.`
  );
}
