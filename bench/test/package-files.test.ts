import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { download } from "../download.mjs";
import { fileInArchive } from "../tar-archive.mjs";

/** An archive entry: header and padded data. */
function tarEntry(name: string, data: Buffer, prefix = ""): Buffer {
  const header = Buffer.alloc(512);
  header.write(name, 0);
  header.write(data.length.toString(8).padStart(11, "0"), 124);
  header.write("ustar", 257);
  header.write(prefix, 345);
  return Buffer.concat([header, data, Buffer.alloc((512 - (data.length % 512)) % 512)]);
}

async function* chunksOf(bytes: Buffer, length: number): AsyncGenerator<Uint8Array> {
  for (let start = 0; start < bytes.length; start += length) yield bytes.subarray(start, start + length);
}

async function read(archive: Buffer, name: string, chunkLength: number): Promise<Buffer | undefined> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of fileInArchive(chunksOf(archive, chunkLength), name)) chunks.push(chunk);
  return chunks.length === 0 ? undefined : Buffer.concat(chunks);
}

describe("a file in an archive", () => {
  const [first, second] = [Buffer.from("one".repeat(400)), Buffer.from("two".repeat(500))];
  const archive = Buffer.concat([
    tarEntry("package/a", first),
    tarEntry("package/empty", Buffer.alloc(0)),
    tarEntry("b", second, "package/deep"),
    Buffer.alloc(1024),
  ]);

  it.each([7, 512, 1000, 1 << 16])("is found in chunks of %i bytes", async (chunkLength) => {
    expect(await read(archive, "package/a", chunkLength)).toEqual(first);
    expect(await read(archive, "package/empty", chunkLength)).toEqual(Buffer.alloc(0));
    expect(await read(archive, "package/deep/b", chunkLength)).toEqual(second);
    expect(await read(archive, "package/c", chunkLength)).toBeUndefined();
  });
});

describe("a download", () => {
  const content = Buffer.from(Array.from({ length: 5000 }, (_, index) => index % 251));
  const integrity = `sha512-${createHash("sha512").update(content).digest("base64")}`;
  let folder: string;
  let server: Server;
  let url: string;
  let ranges: (string | undefined)[];

  beforeEach(async () => {
    folder = await mkdtemp(path.join(tmpdir(), "thermocline-download-"));
    ranges = [];
    server = createServer((request, response) => {
      ranges.push(request.headers.range);
      const start = Number(/bytes=(\d+)-/.exec(request.headers.range ?? "")?.[1] ?? 0);
      response.writeHead(start >= content.length ? 416 : start > 0 ? 206 : 200).end(content.subarray(start));
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/file`;
  });
  afterEach(async () => {
    server.close();
    server.closeAllConnections();
    await rm(folder, { recursive: true });
  });

  it("goes on where it was broken off", async () => {
    const target = path.join(folder, "file");
    await writeFile(`${target}.partial`, content.subarray(0, 2000));
    await download(url, target, { integrity, label: "file" });
    expect(ranges).toEqual(["bytes=2000-"]);
    expect(await readFile(target)).toEqual(content);
    expect(existsSync(`${target}.partial`)).toBe(false);
  });

  it("takes a file that was already whole", async () => {
    const target = path.join(folder, "file");
    await writeFile(`${target}.partial`, content);
    await download(url, target, { integrity, label: "file" });
    expect(await readFile(target)).toEqual(content);
  });

  it("refuses what has another hash, and starts anew afterwards", async () => {
    const target = path.join(folder, "file");
    await writeFile(`${target}.partial`, Buffer.alloc(2000, 1));
    await expect(download(url, target, { integrity, label: "file" })).rejects.toMatchObject({ code: "download-failed" });
    expect(existsSync(target)).toBe(false);
    await download(url, target, { integrity, label: "file" });
    expect(ranges).toEqual(["bytes=2000-", undefined]);
    expect(await readFile(target)).toEqual(content);
  });

  it("names the address that cannot be reached", async () => {
    const target = path.join(folder, "file");
    await expect(download("http://127.0.0.1:9/file", target, { integrity, label: "file" })).rejects.toThrow(
      /127\.0\.0\.1:9.*run the command again/,
    );
  });
});
