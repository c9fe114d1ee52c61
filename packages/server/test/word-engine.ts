import { type Engine, type GenerateEvent, InvalidRequestError } from "@thermocline/spec";

/** An engine over spec's interface whose text is its prompt, a word a token, for as long as `maxTokens` allows. */
export interface WordEngine extends Pick<Engine, "generate"> {
  readonly aborted: string[];
  readonly finished: string[];
}

export function createWordEngine(options: { readonly pauseMs?: number; readonly failAtWord?: string } = {}): WordEngine {
  const aborted: string[] = [];
  const finished: string[] = [];
  async function* generate(...[request, call]: Parameters<Engine["generate"]>): AsyncGenerator<GenerateEvent> {
    const prompt = typeof request.prompt === "string" ? request.prompt : [...request.prompt].join(" ");
    if (prompt === "") throw new InvalidRequestError("prompt", prompt, "is empty", "send at least one word");
    const words = prompt.split(/(?<= )/);
    const maxTokens = request.maxTokens ?? words.length;
    const usage = { promptTokens: words.length, completionTokens: Math.min(words.length, maxTokens), timeToFirstTokenMs: 0, decodeMs: 0 };
    for (const [index, word] of words.slice(0, maxTokens).entries()) {
      await new Promise((resolve) => setTimeout(resolve, options.pauseMs ?? 0));
      if (call?.signal?.aborted) {
        aborted.push(prompt);
        yield { type: "end", reason: "abort", usage: { ...usage, completionTokens: index } };
        return;
      }
      if (word.trim() === options.failAtWord) throw new TypeError("a secret of the server");
      yield { type: "text-delta", text: word, tokenIds: [index] };
    }
    finished.push(prompt);
    yield { type: "end", reason: words.length > maxTokens ? "length" : "stop", usage };
  }
  return { generate, aborted, finished };
}
