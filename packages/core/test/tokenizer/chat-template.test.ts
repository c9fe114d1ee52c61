import { describe, expect, it } from "vitest";
import { createChatTemplate } from "../../src/tokenizer/index.js";

const chatMl =
  "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

describe("chat templates", () => {
  it("render messages, and open the assistant's turn unless told not to", () => {
    const template = createChatTemplate(chatMl);
    const messages = [{ role: "user", content: "Hi" }];
    expect(template.render(messages)).toBe("<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n");
    expect(template.render(messages, { addGenerationPrompt: false })).toBe("<|im_start|>user\nHi<|im_end|>\n");
  });

  it("see BOS, EOS, tools and the caller's variables", () => {
    const template = createChatTemplate(
      "{{ bos_token }}{% if tools %}{{ tools | tojson }}{% else %}none{% endif %}{{ style }}{{ eos_token }}",
      { bosToken: "<s>", eosToken: "</s>" },
    );
    expect(template.render([])).toBe("<s>none</s>");
    expect(template.render([], { tools: [{ name: "f" }], variables: { style: "!" } })).toBe('<s>[{"name": "f"}]!</s>');
  });

  it("tell the time that they are given, in the C locale", () => {
    const now = new Date(2024, 6, 4, 15, 5, 9);
    const template = createChatTemplate('{{ strftime_now("%d %B %Y, %a %b %e %I:%M:%S %p %H %m %y %A %% %Q") }}');
    expect(template.render([], { now })).toBe("04 July 2024, Thu Jul  4 03:05:09 PM 15 07 24 Thursday % %Q");
  });

  it("have Jinja's globals, which variables may cover", () => {
    const template = createChatTemplate("{{ range(3) | join }}{{ range(4, 0, -2) | join }}{% if true and not none %}{{ None }}{% endif %}");
    expect(template.render([])).toMatch(/^01242/);
    expect(createChatTemplate("{{ range }}").render([], { variables: { range: "near" } })).toBe("near");
    expect(() => createChatTemplate("{{ range(1000000000000) }}").render([])).toThrow(expect.objectContaining({ stage: "render" }));
  });

  it("that do not parse say so at once", () => {
    expect(() => createChatTemplate("{% if %}")).toThrow(expect.objectContaining({ code: "chat-template", stage: "parse" }));
  });

  it("that fail while rendering are told from those that refuse the messages", () => {
    expect(() => createChatTemplate("{{ messages | no_such_filter }}").render([])).toThrow(
      expect.objectContaining({ code: "chat-template", stage: "render" }),
    );
    expect(() => createChatTemplate('{{ raise_exception("roles must alternate") }}').render([])).toThrow(
      expect.objectContaining({ code: "chat-template", stage: "refused", problem: "roles must alternate" }),
    );
  });
});
