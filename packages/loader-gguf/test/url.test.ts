import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { inspect } from "node:util";
import { FileAccessError, InvalidRequestError } from "@thermocline/spec";
import { describe, expect, it } from "vitest";
import { buildGguf, GgufFormatError, openGguf, RangeUnsupportedError, ShortReadError } from "../src/index.js";
import { errorOf, sameStrings, withGguf } from "./inspect.js";

const data = Uint8Array.from({ length: 1000 }, (_, index) => index & 255);
const content = {
  metadata: [["general.name", "remote"]] as [string, string][],
  tensors: [{ name: "w", dtype: "i8" as const, shape: [1000], data }],
};
const bytes = buildGguf(content);

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

/** A server on the loopback interface for as long as `use` runs. */
async function withServer<Result>(handler: Handler, use: (origin: string) => Promise<Result>): Promise<Result> {
  const server = createServer(handler);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    return await use(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  } finally {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
}

/** Answers range requests as RFC 9110 says. */
function answerRange(file: Uint8Array, request: IncomingMessage, response: ServerResponse): void {
  const match = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? "");
  if (match === null) return void response.writeHead(200, { "content-length": file.length }).end(file);
  const [first, last] = [Number(match[1]), Math.min(Number(match[2]), file.length - 1)];
  if (first >= file.length) return void response.writeHead(416, { "content-range": `bytes */${file.length}` }).end();
  response.writeHead(206, { "content-range": `bytes ${first}-${last}/${file.length}`, "content-length": last - first + 1 });
  response.end(file.subarray(first, last + 1));
}

describe("a URL with range requests", () => {
  it("opens with one request, and reads only what is asked for", async () => {
    const ranges: (string | undefined)[] = [];
    const handler: Handler = (request, response) => {
      ranges.push(request.headers.range);
      answerRange(bytes, request, response);
    };
    await withServer(handler, async (origin) => {
      const url = `${origin}/model.gguf`;
      await withGguf(new URL(url), async (source) => {
        expect(ranges).toHaveLength(1);
        expect(source.shards).toEqual([{ kind: "url", url }]);
        expect(source.fileByteLength).toBe(bytes.length);
        const { range } = source.tensors.get("w")!;
        expect(await source.read(0, range)).toEqual(data);
        expect(ranges[1]).toBe(`bytes=${range.offset}-${range.offset + 999}`);
        expect(await source.read(0, { offset: 5, byteLength: 0 })).toEqual(new Uint8Array(0));
      });
      expect(ranges).toHaveLength(2);
    });
  });

  it("reads a large header in few requests and leaves the data", async () => {
    const tokens = Array.from({ length: 500_000 }, (_, index) => `token${index}`);
    const large = buildGguf({
      metadata: [["tokens", tokens]],
      tensors: [{ name: "w", dtype: "i8", shape: [2 ** 25], data: new Uint8Array(2 ** 25) }],
    });
    let requests = 0;
    let sentBytes = 0;
    const handler: Handler = (request, response) => {
      requests++;
      const [first, last] = request.headers.range!.slice("bytes=".length).split("-").map(Number);
      sentBytes += last! - first! + 1;
      answerRange(large, request, response);
    };
    await withServer(handler, (origin) =>
      withGguf(`${origin}/m`, ({ metadata }) => expect(sameStrings(metadata.get("tokens"), tokens)).toBe(true)),
    );
    expect(requests).toBeLessThanOrEqual(4);
    expect(sentBytes).toBeLessThan(2 * (large.length - 2 ** 25));
  });

  it("follows a redirect, sends the headers given, and keeps its query out of messages", async () => {
    const seen: string[] = [];
    const handler: Handler = (request, response) => {
      seen.push(`${request.url} ${request.headers["x-token"]}`);
      if (request.url!.startsWith("/old")) return void response.writeHead(302, { location: "/new.gguf" }).end();
      if (request.url!.startsWith("/new")) return answerRange(bytes, request, response);
      response.writeHead(403).end();
    };
    await withServer(handler, async (origin) => {
      const source = await openGguf(`${origin}/old.gguf`, { headers: { "x-token": "t" } });
      expect(await source.read(0, source.tensors.get("w")!.range)).toEqual(data);
      expect(seen.slice(0, 2)).toEqual(["/old.gguf t", "/new.gguf t"]);
      const error = await errorOf(() => openGguf(`${origin}/private.gguf?signature=secret`));
      expect(error).toBeInstanceOf(FileAccessError);
      expect(error.message).toContain("/private.gguf: the server answered 403");
      expect(error.message).not.toContain("secret");
    });
  });

  it("opens shards beside the first, query and all", async () => {
    const shard = (index: number) =>
      buildGguf({
        metadata: [
          ["split.no", { type: "u16", value: index }],
          ["split.count", { type: "u16", value: 2 }],
        ],
        tensors: [{ name: `w${index}`, dtype: "i8", shape: [1], data: Uint8Array.of(index) }],
      });
    const files: Record<string, Uint8Array> = { "/m-00001-of-00002.gguf?v=1": shard(0), "/m-00002-of-00002.gguf?v=1": shard(1) };
    await withServer(
      (request, response) => answerRange(files[request.url!]!, request, response),
      async (origin) => {
        const source = await openGguf(`${origin}/m-00001-of-00002.gguf?v=1`);
        const info = source.tensors.get("w1")!;
        expect(info.shard).toBe(1);
        expect(await source.read(1, info.range)).toEqual(Uint8Array.of(1));
      },
    );
  });
});

describe("credentials in a URL", () => {
  const basic = (credentials: string) => `Basic ${Buffer.from(credentials).toString("base64")}`;
  /** Everything that a log would show of an error, causes and fields too. */
  const shownOf = (error: Error) => inspect(error, { depth: null }) + JSON.stringify(error);

  it("become basic authorization, for shards beside the first too, and stay out of the source", async () => {
    const shard = (index: number) =>
      buildGguf({
        metadata: [
          ["split.no", { type: "u16", value: index }],
          ["split.count", { type: "u16", value: 2 }],
        ],
        tensors: [{ name: `w${index}`, dtype: "i8", shape: [1], data: Uint8Array.of(index) }],
      });
    const files: Record<string, Uint8Array> = { "/m-00001-of-00002.gguf": shard(0), "/m-00002-of-00002.gguf": shard(1) };
    const seen = new Set<string | undefined>();
    const handler: Handler = (request, response) => {
      seen.add(request.headers.authorization);
      answerRange(files[request.url!]!, request, response);
    };
    await withServer(handler, async (origin) => {
      const { host } = new URL(origin);
      const source = await openGguf(`http://us%40er:s%C3%A9cr%65t@${host}/m-00001-of-00002.gguf`);
      expect(await source.read(1, source.tensors.get("w1")!.range)).toEqual(Uint8Array.of(1));
      expect(source.shards).toEqual(Object.keys(files).map((path) => ({ kind: "url", url: origin + path })));
      expect([...seen]).toEqual([basic("us@er:sécret")]);
    });
  });

  it.each([
    ["a token alone", "token@", {}, basic("token:")],
    ["a percent sign that escapes nothing", "user:100%@", {}, basic("user:100%")],
    ["a header of the caller's own, which goes before them", "user:secret@", { Authorization: "Bearer t" }, "Bearer t"],
  ])("%s", async (_, credentials, headers, expected) => {
    let seen: string | undefined;
    const handler: Handler = (request, response) => {
      seen = request.headers.authorization;
      answerRange(bytes, request, response);
    };
    await withServer(handler, async (origin) => {
      await openGguf(`${origin.replace("://", `://${credentials}`)}/model.gguf`, { headers });
      expect(seen).toBe(expected);
    });
  });

  const refused: readonly [what: string, handler: Handler][] = [
    ["a refusal", (_, response) => void response.writeHead(401).end()],
    ["a server without range requests", (_, response) => void response.writeHead(200).end(bytes)],
    ["a file that is damaged", (request, response) => answerRange(bytes.subarray(0, 50), request, response)],
    ["a connection that is cut", (request) => void request.socket.destroy()],
    [
      "a redirect to an address with credentials",
      (request, response) =>
        void response.writeHead(302, { location: `http://other:secret@${request.headers.host}/m?signature=secret` }).end(),
    ],
    ["a redirect to no address", (_, response) => void response.writeHead(302, { location: "http://other:secret@[/m" }).end()],
  ];
  it.each(refused)("are not shown after %s", async (_, handler) => {
    await withServer(handler, async (origin) => {
      const error = await errorOf(() => openGguf(`${origin.replace("://", "://user:secret@")}/model.gguf?signature=secret`));
      expect(error.message).toContain(`${origin}/model.gguf`);
      expect(shownOf(error)).not.toMatch(/secret|user/);
    });
  });

  it.each([
    ["https://user:secret@[host/model.gguf", "https://[host/model.gguf: is no valid URL"],
    ["https://user:se/secret@host/model.gguf?x=secret", "https://host/model.gguf: is no valid URL"],
    ["https://user:se?cret/secret@host:port/model.gguf", "https://host:port/model.gguf: is no valid URL"],
    ["file://user:secret@host/model.gguf", "file://host/model.gguf: names no local file"],
  ])("are not shown of an address that is none: %s", async (location, message) => {
    const error = await errorOf(() => openGguf(location));
    expect(error).toBeInstanceOf(FileAccessError);
    expect(error.message).toContain(message);
    expect(shownOf(error)).not.toMatch(/secret|user/);
  });

  it.each(["ftp://user:secret@host/model.gguf", new URL("s3://user:secret@host/model.gguf?x=secret")])(
    "are not shown of an address of another kind: %s",
    async (location) => {
      const error = await errorOf(() => openGguf(location));
      expect(error).toBeInstanceOf(InvalidRequestError);
      expect(error).toMatchObject({ value: expect.stringMatching(/^(ftp|s3):\/\/host\/model.gguf$/) });
      expect(shownOf(error)).not.toMatch(/secret|user/);
    },
  );

  it("in a header that cannot be sent are not shown", async () => {
    const error = await errorOf(() => openGguf("http://127.0.0.1/model.gguf", { headers: { authorization: "Bearer\nsecret" } }));
    expect(error).toMatchObject({ code: "invalid-request", parameter: "headers", value: "authorization" });
    expect(shownOf(error)).not.toContain("secret");
  });
});

describe("a URL that cannot be read", () => {
  const cases: readonly [what: string, expected: new (...args: never[]) => Error, handler: Handler][] = [
    ["a server without range requests", RangeUnsupportedError, (_, response) => void response.writeHead(200).end(bytes)],
    [
      "a server that hides the size",
      RangeUnsupportedError,
      (_, response) => void response.writeHead(206, { "content-range": "bytes 0-9/*" }).end("GGUF123456"),
    ],
    ["a server without Content-Range", RangeUnsupportedError, (_, response) => void response.writeHead(206).end(bytes)],
    ["a missing file", FileAccessError, (_, response) => void response.writeHead(404).end()],
    ["a broken server", FileAccessError, (_, response) => void response.writeHead(500).end("<html>")],
    ["a connection that is cut", FileAccessError, (request) => void request.socket.destroy()],
    [
      "another range than was asked for",
      FileAccessError,
      (_, response) => void response.writeHead(206, { "content-range": "bytes 5-9/99" }).end("56789"),
    ],
    [
      "more bytes than announced",
      FileAccessError,
      (_, response) => void response.writeHead(206, { "content-range": "bytes 0-3/99" }).end("0123456"),
    ],
    [
      "fewer bytes than announced",
      ShortReadError,
      (_, response) => void response.writeHead(206, { "content-range": "bytes 0-9/99" }).end("0123"),
    ],
    ["a redirect without end", FileAccessError, (request, response) => void response.writeHead(302, { location: request.url! }).end()],
    ["an empty file", GgufFormatError, (request, response) => answerRange(new Uint8Array(0), request, response)],
    ["a web page", GgufFormatError, (request, response) => answerRange(new TextEncoder().encode("<!doctype html>"), request, response)],
  ];

  it.each(cases)("%s", async (_, expected, handler) => {
    await withServer(handler, async (origin) => expect(await errorOf(() => openGguf(`${origin}/model.gguf`))).toBeInstanceOf(expected));
  });

  it("an address where nobody listens, and one that is none", async () => {
    const origin = await withServer(
      () => {},
      async (address) => address,
    );
    expect(await errorOf(() => openGguf(`${origin}/model.gguf`))).toBeInstanceOf(FileAccessError);
    expect(await errorOf(() => openGguf("http://"))).toBeInstanceOf(FileAccessError);
  });

  it("a server that ignores ranges is left before the file has come", async () => {
    let closed: Promise<unknown> | undefined;
    const handler: Handler = (_, response) => {
      closed = new Promise((resolve) => response.on("close", resolve));
      response.writeHead(200, { "content-length": 2 ** 40 });
      response.write(bytes);
    };
    await withServer(handler, async (origin) => {
      expect(await errorOf(() => openGguf(`${origin}/model.gguf`))).toBeInstanceOf(RangeUnsupportedError);
      await closed;
    });
  });

  it("a file that changes its size while it is open", async () => {
    let file: Uint8Array = bytes;
    await withServer(
      (request, response) => answerRange(file, request, response),
      async (origin) => {
        const source = await openGguf(`${origin}/model.gguf`);
        file = new Uint8Array(bytes.length + 32);
        expect(await errorOf(() => source.read(0, source.tensors.get("w")!.range))).toBeInstanceOf(FileAccessError);
      },
    );
  });

  it("an answer that does not come ends with the signal's reason", async () => {
    const reason = new Error("enough");
    const controller = new AbortController();
    const handler: Handler = (_, response) => {
      response.writeHead(206, { "content-range": "bytes 0-9/99" });
      response.write("GG");
      setTimeout(() => controller.abort(reason), 20);
    };
    await withServer(handler, (origin) => expect(openGguf(`${origin}/model.gguf`, { signal: controller.signal })).rejects.toBe(reason));
  });
});
