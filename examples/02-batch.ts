/**
 * Serves several prompts in one batch and then one of them alone. Kernels are batch-invariant: who else is being served changes the
 * speed of an answer and not a letter of it. Usage: node examples/dist/02-batch.js [model.gguf]
 */
import { type OpenedModel, open } from "thermocline";

const [path = "models/stories15M-q8_0.gguf"] = process.argv.slice(2);
const prompts = ["Once upon a time", "The little dog", "Tom had a red ball"];

async function answer(model: OpenedModel, prompt: string): Promise<string> {
  let text = prompt;
  for await (const event of model.generate({ prompt, maxTokens: 24, sampling: { temperature: 0.8, seed: 7 } })) {
    if (event.type === "text-delta") text += event.text;
  }
  return text;
}

await using model = await open(path, { maxSequences: prompts.length, onNotice: console.error });
const together = await Promise.all(prompts.map((prompt) => answer(model, prompt)));
for (const text of together) console.log(`- ${text}`);
const stepsTogether = model.statistics().steps;
const alone = await answer(model, prompts[0]!);
console.log(`${prompts.length} answers in ${stepsTogether} steps; the first alone in ${model.statistics().steps - stepsTogether}`);
console.log(`alone it is ${alone === together[0] ? "the same text" : "ANOTHER TEXT"}`);
