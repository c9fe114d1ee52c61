/** `node range-server.mjs <file>`: serves ranges of a file on the loopback interface; prints its port, and ends with its standard input. */
import { openSync, readSync, statSync } from "node:fs";
import { createServer } from "node:http";

const [file] = process.argv.slice(2);
const descriptor = openSync(file, "r");
const { size } = statSync(file);
const server = createServer((request, response) => {
  const [, first, wantedLast] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range).map(Number);
  const last = Math.min(wantedLast, size - 1);
  const bytes = Buffer.alloc(last - first + 1);
  readSync(descriptor, bytes, 0, bytes.length, first);
  response.writeHead(206, { "content-range": `bytes ${first}-${last}/${size}`, "content-length": bytes.length }).end(bytes);
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
process.stdin.resume().on("end", () => process.exit());
