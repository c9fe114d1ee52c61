/** An engine behind HTTP: routes, bodies and streams. Listening is the caller's: `http.createServer(createApp(…)).listen(…)`. */
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import type { IncomingMessage, RequestListener, ServerResponse } from "node:http";
import { type Engine, type GenerateEvent, InvalidRequestError } from "@thermocline/spec";
import { GenerationAbortedError, MethodNotAllowedError, RequestTooLargeError, toHttpFailure, UnknownResourceError } from "./error.js";
import { type Completion, type CompletionChoice, parseCompletionRequest, toWireUsage } from "./protocol/completions.js";
import type { ModelList, ModelObject } from "./protocol/models.js";

export interface AppOptions {
  /** Stays the caller's: closing the server does not dispose it. */
  readonly engine: Pick<Engine, "generate">;
  /** The id under which clients know the model. */
  readonly modelId: string;
  /** Longest request body; default 4 MiB. */
  readonly maxRequestBytes?: number;
  /** Told of every error that is answered with a status of 500 or more, or that comes after the first byte of a stream. */
  readonly onError?: (error: unknown) => void;
}

type Handler = (request: IncomingMessage, response: ServerResponse) => Promise<void> | void;

/** GET /health, GET /v1/models, GET /v1/models/{id} and POST /v1/completions. A client that goes away aborts its generation. */
export function createApp({ engine, modelId, maxRequestBytes = 4 * 2 ** 20, onError }: AppOptions): RequestListener {
  const model: ModelObject = { id: modelId, object: "model", created: unixSeconds(), owned_by: "thermocline" };
  const routes: Readonly<Record<string, { readonly method: string; readonly handle: Handler }>> = {
    "/health": { method: "GET", handle: (_, response) => sendJson(response, 200, { status: "ok" }) },
    "/v1/models": {
      method: "GET",
      handle: (_, response) => sendJson(response, 200, { object: "list", data: [model] } satisfies ModelList),
    },
    [`/v1/models/${encodeURIComponent(modelId)}`]: { method: "GET", handle: (_, response) => sendJson(response, 200, model) },
    "/v1/completions": { method: "POST", handle: complete },
  };

  async function complete(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const wanted = parseCompletionRequest(await readJson(request, maxRequestBytes));
    if (wanted.model !== undefined && wanted.model !== modelId) throw new UnknownResourceError(`model ${wanted.model}`, `use ${modelId}`);
    const disconnect = new AbortController();
    response.once("close", () => disconnect.abort());
    const events = engine.generate(wanted.generate, { signal: disconnect.signal });
    const head = { id: `cmpl-${randomUUID()}`, object: "text_completion", created: unixSeconds(), model: modelId } as const;
    if (!wanted.stream) return sendJson(response, 200, { ...head, ...(await collect(events)) } satisfies Completion);

    let isFirst = true;
    for await (const event of events) {
      // The engine refuses a request at its first event: until then the status is open.
      if (isFirst) response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-cache" });
      isFirst = false;
      if (response.destroyed) return;
      await sendEvent(response, { ...head, choices: [toChoice(event)] } satisfies Completion);
      if (event.type === "end" && wanted.includeUsage)
        await sendEvent(response, { ...head, choices: [], usage: toWireUsage(event.usage) } satisfies Completion);
    }
    response.end("data: [DONE]\n\n");
  }

  function fail(response: ServerResponse, error: unknown): void {
    // Nobody is left to be told.
    if (response.destroyed) return;
    const { status, body, headers } = toHttpFailure(error);
    if (status >= 500 || response.headersSent) onError?.(error);
    if (response.headersSent) response.end(`data: ${JSON.stringify(body)}\n\n`);
    else sendJson(response, status, body, headers);
  }

  return async (request, response) => {
    try {
      const [path = ""] = (request.url ?? "").split("?");
      const route = Object.hasOwn(routes, path) ? routes[path] : undefined;
      if (route === undefined) throw new UnknownResourceError(path, `use one of ${Object.keys(routes).join(", ")}`);
      if (request.method !== route.method) throw new MethodNotAllowedError(request.method ?? "", route.method);
      await route.handle(request, response);
    } catch (error) {
      fail(response, error);
    }
  };
}

function unixSeconds(): number {
  return Math.floor(Date.now() / 1000);
}

function toChoice(event: GenerateEvent): CompletionChoice {
  if (event.type === "text-delta") return { index: 0, text: event.text, logprobs: null, finish_reason: null };
  if (event.reason === "abort") throw new GenerationAbortedError();
  return { index: 0, text: "", logprobs: null, finish_reason: event.reason };
}

async function collect(events: AsyncIterable<GenerateEvent>): Promise<Pick<Completion, "choices" | "usage">> {
  let text = "";
  for await (const event of events) {
    const choice = toChoice(event);
    text += choice.text;
    if (event.type === "end") return { choices: [{ ...choice, text }], usage: toWireUsage(event.usage) };
  }
  throw new GenerationAbortedError();
}

function sendJson(response: ServerResponse, status: number, body: unknown, headers: Readonly<Record<string, string>> = {}): void {
  if (response.destroyed) return;
  response.writeHead(status, { "content-type": "application/json", ...headers }).end(JSON.stringify(body));
}

async function sendEvent(response: ServerResponse, body: unknown): Promise<void> {
  if (response.write(`data: ${JSON.stringify(body)}\n\n`)) return;
  const settled = new AbortController();
  const { signal } = settled;
  await Promise.race([once(response, "drain", { signal }), once(response, "close", { signal })]);
  settled.abort();
}

async function readJson(request: IncomingMessage, limitBytes: number): Promise<unknown> {
  const chunks: Buffer[] = [];
  let byteLength = 0;
  // Ending the loop early must leave the socket open: the refusal goes back on it.
  for await (const chunk of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    byteLength += chunk.byteLength;
    if (byteLength > limitBytes) throw new RequestTooLargeError(limitBytes);
    chunks.push(chunk);
  }
  const text = Buffer.concat(chunks).toString("utf8");
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new InvalidRequestError("body", text.slice(0, 100), `is no JSON (${(error as Error).message})`, "send a JSON object");
  }
}
