/** Continues a text. Usage: node examples/dist/01-generate.js [model.gguf] [prompt] */
import { open } from "thermocline";

const [path = "models/stories15M-q8_0.gguf", prompt = "Once upon a time"] = process.argv.slice(2);

await using model = await open(path, { onNotice: console.error });
process.stdout.write(prompt);
for await (const event of model.generate({ prompt, maxTokens: 60, sampling: { temperature: 0 } })) {
  if (event.type === "text-delta") process.stdout.write(event.text);
}
console.log();
