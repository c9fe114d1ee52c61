import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createApp } from "../src/index.js";
import { createWordEngine } from "./word-engine.js";

const errors: unknown[] = [];
const engine = createWordEngine({ failAtWord: "explode" });
const slowEngine = createWordEngine({ pauseMs: 5 });
const servers: Server[] = [];
let base = "";
let slowBase = "";

async function listen(app: ReturnType<typeof createApp>): Promise<string> {
  const server = createServer(app).listen(0, "127.0.0.1");
  servers.push(server);
  await once(server, "listening");
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

beforeAll(async () => {
  base = await listen(createApp({ engine, modelId: "words", maxRequestBytes: 100_000, onError: (error) => errors.push(error) }));
  slowBase = await listen(createApp({ engine: slowEngine, modelId: "words", onError: (error) => errors.push(error) }));
});
afterAll(() => {
  for (const server of servers) {
    server.closeAllConnections();
    server.close();
  }
});

const post = (body: unknown, options: RequestInit = {}, address = base) =>
  fetch(`${address}/v1/completions`, { method: "POST", body: typeof body === "string" ? body : JSON.stringify(body), ...options });

async function readEvents(response: Response): Promise<unknown[]> {
  const lines = (await response.text()).split("\n\n").filter(Boolean);
  expect(lines.every((line) => line.startsWith("data: "))).toBe(true);
  return lines.map((line) => line.slice(6)).map((data) => (data === "[DONE]" ? data : JSON.parse(data)));
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
      data: [{ id: "words", object: "model", created: expect.any(Number), owned_by: "thermocline" }],
    });
    expect(await (await fetch(`${base}/v1/models/words?x=1`)).json()).toEqual(list.data[0]);
  });
});

describe("POST /v1/completions", () => {
  it("answers the whole text with finish reason and usage", async () => {
    const response = await post({ model: "words", prompt: "one two three", max_tokens: 100 });
    expect(response.status).toBe(200);
    expect(await response.json()).toEqual({
      id: expect.stringMatching(/^cmpl-/),
      object: "text_completion",
      created: expect.any(Number),
      model: "words",
      choices: [{ index: 0, text: "one two three", logprobs: null, finish_reason: "stop" }],
      usage: { prompt_tokens: 3, completion_tokens: 3, total_tokens: 6 },
    });
  });

  it("reports the length limit, 16 tokens where none is sent", async () => {
    const prompt = Array.from({ length: 20 }, (_, index) => `w${index}`).join(" ");
    const body = (await (await post({ prompt })).json()) as { choices: { finish_reason: string }[]; usage: unknown };
    expect(body.choices[0]!.finish_reason).toBe("length");
    expect(body.usage).toMatchObject({ completion_tokens: 16 });
  });

  it("takes token ids as a prompt", async () => {
    const body = (await (await post({ prompt: [5, 6, 7] })).json()) as { choices: { text: string }[] };
    expect(body.choices[0]!.text).toBe("5 6 7");
  });

  it("streams chunks that join to the same text, then the reason, then usage where asked, then [DONE]", async () => {
    const response = await post({ prompt: "one two three", stream: true, stream_options: { include_usage: true } });
    expect(response.headers.get("content-type")).toBe("text/event-stream");
    const events = await readEvents(response);
    expect(events.at(-1)).toBe("[DONE]");
    const chunks = events.slice(0, -1) as { id: string; choices: { text: string; finish_reason: string | null }[]; usage?: unknown }[];
    expect(new Set(chunks.map(({ id }) => id)).size).toBe(1);
    expect(chunks.flatMap(({ choices }) => choices.map(({ text }) => text)).join("")).toBe("one two three");
    expect(chunks.flatMap(({ choices }) => choices.map(({ finish_reason }) => finish_reason))).toEqual([null, null, null, "stop"]);
    expect(chunks.at(-1)).toMatchObject({ choices: [], usage: { total_tokens: 6 } });
  });

  it("streams more than a response buffers to a client that reads late", async () => {
    const prompt = Array.from({ length: 600 }, () => "x".repeat(100)).join(" ");
    const response = await post({ prompt, stream: true, max_tokens: 1000 });
    await new Promise((resolve) => setTimeout(resolve, 100));
    const events = await readEvents(response);
    expect(events).toHaveLength(602);
  });

  it("answers an engine's refusal with its status, also when a stream was asked for", async () => {
    for (const stream of [false, true]) {
      const response = await post({ prompt: "", stream });
      expect([response.status, response.headers.get("content-type")]).toEqual([400, "application/json"]);
      expect(await response.json()).toEqual({
        error: {
          message: "prompt: is empty; send at least one word",
          type: "invalid_request_error",
          param: "prompt",
          code: "invalid-request",
        },
      });
    }
  });

  it("hides the message of a bug, and tells it to the owner of the server", async () => {
    const before = errors.length;
    const response = await post({ prompt: "now explode" });
    expect([response.status, await response.json()]).toEqual([
      500,
      { error: { message: "internal error", type: "server_error", param: null, code: null } },
    ]);
    const events = await readEvents(await post({ prompt: "now explode", stream: true }));
    expect(events.at(-1)).toEqual({ error: expect.objectContaining({ message: "internal error" }) });
    expect(errors.slice(before)).toEqual([new TypeError("a secret of the server"), new TypeError("a secret of the server")]);
  });

  it.each([false, true])("aborts the generation of a client that goes away (stream: %s)", async (stream) => {
    const prompt = Array.from({ length: 1000 }, () => (stream ? "streamed" : "whole")).join(" ");
    const client = new AbortController();
    const request = post({ prompt, stream, max_tokens: 1000 }, { signal: client.signal }, slowBase);
    if (stream) {
      const reader = (await request).body!.getReader();
      await reader.read();
      client.abort();
      await reader.read().catch(() => {});
    } else {
      setTimeout(() => client.abort(), 50);
      await request.catch(() => {});
    }
    await expect.poll(() => slowEngine.aborted.includes(prompt), { timeout: 3000 }).toBe(true);
    expect(slowEngine.finished).not.toContain(prompt);
  });

  it("keeps serving others while one stream runs", async () => {
    const slow = post({ prompt: Array.from({ length: 40 }, () => "slow").join(" "), stream: true, max_tokens: 40 }, {}, slowBase);
    const quick = await post({ prompt: "one" }, {}, slowBase);
    expect(quick.status).toBe(200);
    expect(await readEvents(await slow)).toHaveLength(42);
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
    ["a probability over 1", { prompt: "a", top_p: 1.1 }, 400, { param: "top_p" }],
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

  it("an unknown path, and a wrong method with the right one", async () => {
    expect((await fetch(`${base}/v1/nothing`)).status).toBe(404);
    expect((await fetch(`${base}/constructor`)).status).toBe(404);
    const response = await fetch(`${base}/v1/completions`);
    expect([response.status, response.headers.get("allow")]).toEqual([405, "POST"]);
  });
});
