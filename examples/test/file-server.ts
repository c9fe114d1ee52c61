import { createReadStream, statSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

export interface FileServer extends AsyncDisposable {
  readonly origin: string;
  /** Of bodies sent so far, by path. */
  readonly sentBytes: ReadonlyMap<string, number>;
}

/** Serves single files on the loopback device as any static server does, ranges included. `files`: paths on disk by paths of addresses. */
export async function serveFiles(files: Readonly<Record<string, string>>): Promise<FileServer> {
  const sentBytes = new Map<string, number>();
  const server = createServer(({ url = "", method, headers }, response) => {
    const file = files[url];
    if (file === undefined) return void response.writeHead(404).end();
    const { size } = statSync(file);
    const range = /^bytes=(\d+)-(\d*)$/.exec(headers.range ?? "");
    const start = Number(range?.[1] ?? 0);
    const end = range?.[2] ? Math.min(Number(range[2]), size - 1) : size - 1;
    const type = url.endsWith(".js") ? "text/javascript" : url.endsWith(".html") ? "text/html" : "application/octet-stream";
    response.writeHead(range === null ? 200 : 206, {
      "content-type": type,
      "content-length": end - start + 1,
      "accept-ranges": "bytes",
      ...(range !== null && { "content-range": `bytes ${start}-${end}/${size}` }),
    });
    if (method === "HEAD") return void response.end();
    createReadStream(file, { start, end })
      .on("data", (chunk) => sentBytes.set(url, (sentBytes.get(url) ?? 0) + chunk.length))
      .pipe(response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    sentBytes,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
