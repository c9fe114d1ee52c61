import { once } from "node:events";
import { createServer, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { LoadedEngine } from "@thermocline/core";
import type { GenerateEvent } from "@thermocline/spec";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createApp } from "../src/index.js";
import { createSyllableEngine, type GeneratedText, generateText } from "./support/syllable-engine.js";

const errors: unknown[] = [];
const onError = (error: unknown) => errors.push(error);
const servers: Server[] = [];
let engine: LoadedEngine;
let base = "";

async function listen(app: ReturnType<typeof createApp>): Promise<string> {
  const server = createServer(app).listen(0, "127.0.0.1");
  servers.push(server);
  await once(server, "listening");
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

beforeAll(async () => {
  engine = await createSyllableEngine({ contextLength: 1024, maxSequences: 2 });
  base = await listen(createApp({ engine, modelId: "syllables", maxRequestBytes: 100_000, onError }));
});
afterAll(async () => {
  for (const server of servers) {
    server.closeAllConnections();
    server.close();
  }
  await engine[Symbol.asyncDispose]();
});

const greedy = { temperature: 0 } as const;
const prompt = "one two three";
/** What the engine answers to the prompt, without its end where it would find one. */
const generate = (maxTokens: number): Promise<GeneratedText> =>
  generateText(engine, { prompt, sampling: greedy, maxTokens, ignoreEos: true });
/** The same on the wire. */
const asked = (maxTokens: number) => ({ prompt, ...greedy, max_tokens: maxTokens, ignore_eos: true });

const post = (body: unknown, options: RequestInit = {}, address = base) =>
  fetch(`${address}/v1/completions`, { method: "POST", body: typeof body === "string" ? body : JSON.stringify(body), ...options });

async function readEvents(response: Response): Promise<unknown[]> {
  const lines = (await response.text()).split("\n\n").filter(Boolean);
  expect(lines.every((line) => line.startsWith("data: "))).toBe(true);
  return lines.map((line) => line.slice(6)).map((data) => (data === "[DONE]" ? data : JSON.parse(data)));
}

interface Chunk {
  readonly id: string;
  readonly choices: readonly { readonly text: string; readonly finish_reason: string | null }[];
  readonly usage?: unknown;
}

describe("GET", () => {
  it("/health answers ok", async () => {
    const response = await fetch(`${base}/health`);
    expect([response.status, await response.json()]).toEqual([200, { status: "ok" }]);
  });

  it("/v1/models lists the model, and finds it by id", async () => {
    const list = (await (await fetch(`${base}/v1/models`)).json()) as { object: string; data: unknown[] };
    expect(list).toEqual({
      object: "list",
      data: [{ id: "syllables", object: "model", created: expect.any(Number), owned_by: "thermocline" }],
    });
    expect(await (await fetch(`${base}/v1/models/syllables?x=1`)).json()).toEqual(list.data[0]);
  });
});

describe("POST /v1/completions", () => {
  it("answers the engine's whole text with finish reason and usage", async () => {
    const { text } = await generate(12);
    expect(text.length).toBeGreaterThan(12);
    const response = await post({ model: "syllables", ...asked(12) });
    expect(response.status).toBe(200);
    const promptTokens = engine.tokenizer!.encode(prompt, { addBos: true }).length;
    expect(await response.json()).toEqual({
      id: expect.stringMatching(/^cmpl-/),
      object: "text_completion",
      created: expect.any(Number),
      model: "syllables",
      choices: [{ index: 0, text, logprobs: null, finish_reason: "length" }],
      usage: { prompt_tokens: promptTokens, completion_tokens: 12, total_tokens: promptTokens + 12 },
    });
  });

  it("ends before a stop string", async () => {
    const { text } = await generate(12);
    const stop = text.slice(8, 11);
    const body = (await (await post({ ...asked(12), stop })).json()) as Chunk;
    expect(body.choices).toEqual([{ index: 0, text: text.slice(0, text.indexOf(stop)), logprobs: null, finish_reason: "stop" }]);
  });

  it("generates 16 tokens where no number is sent", async () => {
    const body = (await (await post({ ...asked(1), max_tokens: null })).json()) as Chunk;
    expect(body.choices[0]).toMatchObject({ text: (await generate(16)).text, finish_reason: "length" });
    expect(body.usage).toMatchObject({ completion_tokens: 16 });
  });

  it("passes sampling on: seeds make texts, equal ones equal texts", async () => {
    const textOf = async (seed: number) => {
      const body = (await (await post({ ...asked(12), temperature: 1, top_p: 0.9, top_k: 50, min_p: 0.01, seed })).json()) as Chunk;
      return body.choices[0]!.text;
    };
    const first = await textOf(1);
    expect(await textOf(1)).toBe(first);
    expect(await textOf(2)).not.toBe(first);
    const sampling = { temperature: 1, topP: 0.9, topK: 50, minP: 0.01, seed: 1 };
    expect((await generateText(engine, { prompt, sampling, maxTokens: 12, ignoreEos: true })).text).toBe(first);
  });

  it("takes token ids as a prompt", async () => {
    const tokenIds = engine.tokenizer!.encode(prompt, { addBos: true });
    const body = (await (await post({ ...asked(12), prompt: tokenIds })).json()) as Chunk;
    expect(body.choices[0]!.text).toBe((await generate(12)).text);
  });

  it("streams chunks that join to the same text, then the reason, then usage where asked, then [DONE]", async () => {
    const response = await post({ ...asked(12), stream: true, stream_options: { include_usage: true } });
    expect(response.headers.get("content-type")).toBe("text/event-stream");
    const events = await readEvents(response);
    expect(events.at(-1)).toBe("[DONE]");
    const chunks = events.slice(0, -1) as Chunk[];
    expect(new Set(chunks.map(({ id }) => id)).size).toBe(1);
    expect(chunks.flatMap(({ choices }) => choices.map(({ text }) => text)).join("")).toBe((await generate(12)).text);
    const reasons = chunks.flatMap(({ choices }) => choices.map(({ finish_reason }) => finish_reason));
    expect(reasons).toEqual([...new Array(12).fill(null), "length"]);
    expect(chunks.at(-1)).toMatchObject({ choices: [], usage: { completion_tokens: 12 } });
  });

  it("streams more than a connection buffers to a client that reads late", async () => {
    // Every chunk names the model.
    const modelId = "m".repeat(50_000);
    const address = await listen(createApp({ engine, modelId, onError }));
    let drains = 0;
    servers.at(-1)!.on("request", (_, response: ServerResponse) => response.on("drain", () => drains++));
    const response = await post({ ...asked(400), stream: true }, {}, address);
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(await readEvents(response)).toHaveLength(402);
    expect(drains).toBeGreaterThan(0);
  });

  it("answers an engine's refusal with its status, also when a stream was asked for", async () => {
    for (const stream of [false, true]) {
      const response = await post({ prompt: "", stream });
      expect([response.status, response.headers.get("content-type")]).toEqual([400, "application/json"]);
      expect(await response.json()).toEqual({
        error: {
          message: "prompt: is empty; give a prompt of at least one token",
          type: "invalid_request_error",
          param: "prompt",
          code: "invalid-request",
        },
      });
    }
  });

  it("hides the message of a bug, and tells it to the owner of the server", async () => {
    const bug = new TypeError("a secret of the server");
    async function* generateAndFail(...call: Parameters<LoadedEngine["generate"]>): AsyncGenerator<GenerateEvent> {
      for await (const event of engine.generate(...call)) {
        yield event;
        throw bug;
      }
    }
    const address = await listen(createApp({ engine: { generate: generateAndFail }, modelId: "syllables", onError }));
    const before = errors.length;
    const response = await post(asked(12), {}, address);
    expect([response.status, await response.json()]).toEqual([
      500,
      { error: { message: "internal error", type: "server_error", param: null, code: null } },
    ]);
    const events = await readEvents(await post({ ...asked(12), stream: true }, {}, address));
    expect(events).toEqual([
      expect.objectContaining({ choices: [expect.anything()] }),
      { error: expect.objectContaining({ message: "internal error" }) },
    ]);
    expect(errors.slice(before)).toEqual([bug, bug]);
  });

  it.each([false, true])("aborts the generation of a client that goes away (stream: %s)", async (stream) => {
    await using single = await createSyllableEngine({ contextLength: 4096, maxSequences: 1 });
    const address = await listen(createApp({ engine: single, modelId: "syllables", onError }));
    const client = new AbortController();
    const request = post({ ...asked(4000), stream }, { signal: client.signal }, address);
    if (stream) await (await request).body!.getReader().read();
    else await expect.poll(() => single.statistics().steps, { interval: 5 }).toBeGreaterThan(0);
    client.abort();
    if (!stream) await expect(request).rejects.toThrow("abort");
    // Sequences run one at a time, so this one waits for the end of the other.
    await generateText(single, { prompt, maxTokens: 1 });
    expect(single.statistics().steps).toBeLessThan(4000);
  });

  it("keeps serving others while one stream runs", async () => {
    const ended: string[] = [];
    const long = await post({ ...asked(500), stream: true });
    const longEvents = readEvents(long).finally(() => ended.push("long"));
    expect((await post(asked(2))).status).toBe(200);
    ended.push("short");
    expect(await longEvents).toHaveLength(502);
    expect(ended).toEqual(["short", "long"]);
  });
});

describe("requests that are refused", () => {
  const cases: readonly [what: string, body: unknown, status: number, error: Record<string, unknown>][] = [
    ["no JSON", "{", 400, { param: "body" }],
    ["an array", [], 400, { param: "body" }],
    ["no prompt", {}, 400, { param: "prompt" }],
    ["two prompts", { prompt: ["a", "b"] }, 400, { param: "prompt" }],
    ["a negative token id", { prompt: [1, -1] }, 400, { param: "prompt" }],
    ["no tokens at all", { prompt: "a", max_tokens: 0 }, 400, { param: "max_tokens" }],
    ["half a token", { prompt: "a", max_tokens: 1.5 }, 400, { param: "max_tokens" }],
    ["a temperature that is text", { prompt: "a", temperature: "hot" }, 400, { param: "temperature" }],
    ["a temperature below 0", { prompt: "a", temperature: -0.1 }, 400, { param: "temperature" }],
    ["an infinite temperature", '{ "prompt": "a", "temperature": 1e999 }', 400, { param: "temperature" }],
    ["a probability over 1", { prompt: "a", top_p: 1.1 }, 400, { param: "top_p", message: expect.stringMatching(/^top_p: is 1\.1;/) }],
    ["a top_p of 0", { prompt: "a", top_p: 0 }, 400, { param: "top_p" }],
    ["a min_p of 1", { prompt: "a", min_p: 1 }, 400, { param: "min_p", message: expect.stringMatching(/^min_p: is 1;/) }],
    ["half a top_k", { prompt: "a", top_k: 1.5 }, 400, { param: "top_k" }],
    ["a negative top_k", { prompt: "a", top_k: -1 }, 400, { param: "top_k" }],
    ["a repetition penalty of 0", { prompt: "a", repetition_penalty: 0 }, 400, { param: "repetition_penalty" }],
    ["a typical_p of 0", { prompt: "a", typical_p: 0 }, 400, { param: "typical_p" }],
    ["a penalty that is text", { prompt: "a", presence_penalty: "2" }, 400, { param: "presence_penalty" }],
    ["an infinite penalty", '{ "prompt": "a", "frequency_penalty": 1e999 }', 400, { param: "frequency_penalty" }],
    ["biases in a list", { prompt: "a", logit_bias: [[1, 2]] }, 400, { param: "logit_bias" }],
    ["a bias of a word", { prompt: "a", logit_bias: { word: 1 } }, 400, { param: "logit_bias" }],
    ["a bias over 100", { prompt: "a", logit_bias: { "1": 101 } }, 400, { param: "logit_bias" }],
    ["a bias of a token that there is not", { prompt: "a", logit_bias: { "1000000": 1 } }, 400, { param: "logit_bias" }],
    ["a negative min_tokens", { prompt: "a", min_tokens: -1 }, 400, { param: "min_tokens" }],
    ["more tokens at least than at most", { prompt: "a", min_tokens: 17 }, 400, { param: "min_tokens" }],
    ["half a seed", { prompt: "a", seed: 0.5 }, 400, { param: "seed" }],
    ["a prompt that no context holds", { prompt: "a ".repeat(1024) }, 400, { param: "prompt" }],
    ["a token id outside the vocabulary", { prompt: [1_000_000] }, 400, { param: "prompt" }],
    ["several choices", { prompt: "a", n: 2 }, 400, { param: "n" }],
    ["an echo", { prompt: "a", echo: true }, 400, { param: "echo" }],
    ["log-probabilities", { prompt: "a", logprobs: 3 }, 400, { param: "logprobs" }],
    ["a field that nobody knows", { prompt: "a", max_token: 3 }, 400, { param: "max_token" }],
    ["an empty stop", { prompt: "a", stop: [""] }, 400, { param: "stop" }],
    ["stream as text", { prompt: "a", stream: "yes" }, 400, { param: "stream" }],
    ["another model", { prompt: "a", model: "gpt" }, 404, { code: "unknown-resource" }],
    ["a body over the limit", { prompt: "a".repeat(200_000) }, 413, { code: "request-too-large" }],
  ];
  it.each(cases)("%s", async (_what, body, status, error) => {
    const response = await post(body);
    expect([response.status, await response.json()]).toEqual([
      status,
      { error: expect.objectContaining({ type: "invalid_request_error", ...error }) },
    ]);
  });

  it.each([
    { temperature: 0 },
    { temperature: 1000 },
    { top_p: 1 },
    { top_p: 1e-9 },
    { top_k: 0 },
    { top_k: 2 ** 40 },
    { min_p: 0 },
    { min_p: 0.999 },
    { repetition_penalty: 1e-3 },
    { repetition_penalty: 1000 },
    { typical_p: 1 },
    { presence_penalty: -2, frequency_penalty: 2 },
    { logit_bias: { "0": -100 } },
    { min_tokens: 1 },
    { seed: -1 },
    { seed: 2 ** 40 },
  ])("but not %j, which the engine takes", async (sampling) => {
    expect((await post({ prompt: "a", max_tokens: 1, ...sampling })).status).toBe(200);
  });

  it("an unknown path, and a wrong method with the right one", async () => {
    expect((await fetch(`${base}/v1/nothing`)).status).toBe(404);
    expect((await fetch(`${base}/constructor`)).status).toBe(404);
    const response = await fetch(`${base}/v1/completions`);
    expect([response.status, response.headers.get("allow")]).toEqual([405, "POST"]);
  });
});
