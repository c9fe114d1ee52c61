/** The formats as the models' publishers write them, turn by turn. */
import { createChatTemplate } from "@thermocline/core/tokenizer";
import { describe, expect, it } from "vitest";
import { builtInTemplates } from "../../src/command-line/chat/built-in-templates.js";

const messages = [
  { role: "system", content: "S" },
  { role: "user", content: " U1 " },
  { role: "assistant", content: "A1\n" },
  { role: "user", content: "U2" },
];

const rendered: Readonly<Record<string, string>> = {
  chatml:
    "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nU1<|im_end|>\n<|im_start|>assistant\nA1<|im_end|>\n<|im_start|>user\nU2<|im_end|>\n<|im_start|>assistant\n",
  gemma:
    "<s><start_of_turn>user\nS\n\nU1<end_of_turn>\n<start_of_turn>model\nA1<end_of_turn>\n<start_of_turn>user\nU2<end_of_turn>\n<start_of_turn>model\n",
  llama3:
    "<s><|start_header_id|>system<|end_header_id|>\n\nS<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nU1<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\nA1<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nU2<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
  mistral: "<s>[INST] S\n\nU1 [/INST] A1</s>[INST] U2 [/INST]",
  phi3: "<|system|>\nS<|end|>\n<|user|>\nU1<|end|>\n<|assistant|>\nA1<|end|>\n<|user|>\nU2<|end|>\n<|assistant|>\n",
  plain: "System: S\nUser: U1\nAssistant: A1\nUser: U2\nAssistant:",
  zephyr: "<|system|>\nS</s>\n<|user|>\nU1</s>\n<|assistant|>\nA1</s>\n<|user|>\nU2</s>\n<|assistant|>\n",
};

describe("built-in chat templates", () => {
  it.each(Object.keys(builtInTemplates))("%s", (name) => {
    const template = createChatTemplate(builtInTemplates[name]!.source, { bosToken: "<s>", eosToken: "</s>" });
    expect(template.render(messages)).toBe(rendered[name]);
    const asked = template.render(messages.slice(1, 2));
    expect(asked).toContain("U1");
    expect(template.render(messages.slice(1, 3), { addGenerationPrompt: false }).startsWith(asked.trimEnd())).toBe(true);
  });
});
