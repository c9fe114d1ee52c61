import { describe, expect, it } from "vitest";
import { parseChat } from "../../src/command-line/chat/chat-file.js";

const chat = {
  version: 1,
  model: { name: "a model", identity: "0123" },
  messages: [
    { role: "system", content: "be brief" },
    { role: "user", content: "hi" },
    { role: "assistant", content: "" },
  ],
  sampling: { temperature: 0.5, seed: -1, drySequenceBreakers: ["\n"] },
};

describe("a saved chat", () => {
  it("is what was saved", () => {
    expect(parseChat(JSON.stringify(chat), "chat.json")).toEqual(chat);
    expect(parseChat(JSON.stringify({ ...chat, messages: [], sampling: undefined, more: 1 }), "chat.json")).toEqual({
      ...chat,
      messages: [],
      sampling: {},
    });
  });

  const [system, user, assistant] = chat.messages;
  it.each<[string, unknown, string]>([
    ["of another version", { ...chat, version: 2 }, "version is 2"],
    ["without a version", { ...chat, version: undefined }, "version is undefined"],
    ["that is a list", [chat], "file is no JSON object"],
    ["without a model", { ...chat, model: null }, "model has no name"],
    ["without messages", { ...chat, messages: {} }, "messages is no list"],
    ["with a message that is text", { ...chat, messages: ["hi"] }, "messages[0] is no object"],
    ["with a role that there is not", { ...chat, messages: [{ role: "tool", content: "" }] }, 'messages[0].role is "tool"'],
    ["with content that is no text", { ...chat, messages: [{ role: "user", content: 1 }] }, "messages[0].content is no text"],
    ["with two questions in a row", { ...chat, messages: [system, user, user] }, "messages[2].role is user where assistant comes"],
    ["with a system message inside", { ...chat, messages: [user, assistant, system] }, "messages[2].role is system where user comes"],
    ["that ends with a question", { ...chat, messages: [user, assistant, user] }, "messages ends with a question"],
    ["with a parameter that there is not", { ...chat, sampling: { heat: 1 } }, "sampling.heat is no sampling parameter"],
    ["with a parameter out of range", { ...chat, sampling: { topP: 2 } }, "sampling.topP is no number above 0 to 1"],
    ["with half a count", { ...chat, sampling: { topK: 1.5 } }, "sampling.topK is no whole number from 0"],
    [
      "with breakers that are none",
      { ...chat, sampling: { drySequenceBreakers: [""] } },
      "sampling.drySequenceBreakers is no list of texts",
    ],
  ])("%s is refused with the field's name", (_what, value, problem) => {
    expect(() => parseChat(JSON.stringify(value), "chat.json")).toThrow(
      expect.objectContaining({ code: "invalid-chat-file", message: expect.stringContaining(`chat.json: ${problem}`) }),
    );
  });
});
