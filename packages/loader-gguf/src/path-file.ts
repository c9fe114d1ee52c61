/** A file in the file system, kept open until it is closed. The only file here that needs Node. */
import { FileAccessError } from "@thermocline/spec";
import { ShortReadError } from "./errors.js";
import { nodeModules } from "./node-modules.js";
import { headBytes, type OpenedFile, type ShardFile } from "./shard-file.js";

/** Between two of these a read looks at its signal. */
const chunkBytes = 64 * 1024 * 1024;

/** `name` stands for the path in messages. */
export async function openPathFile(path: string, name: string): Promise<OpenedFile> {
  const { open, stat } = nodeModules(name).fs;
  // Opening a pipe would wait for its writer, so what it is is asked first.
  const information = await stat(path).catch((cause) => refuse(name, cause));
  if (!information.isFile()) {
    const what = information.isDirectory() ? "is a directory" : "is no regular file";
    throw new FileAccessError(name, what);
  }
  const handle = await open(path, "r").catch((cause) => refuse(name, cause));
  const byteLength = information.size;

  const read: ShardFile["read"] = async (range, signal) => {
    const bytes = new Uint8Array(range.byteLength);
    let done = 0;
    while (done < bytes.length) {
      signal?.throwIfAborted();
      const most = Math.min(chunkBytes, bytes.length - done);
      const { bytesRead } = await handle.read(bytes, done, most, range.offset + done).catch((cause) => refuse(name, cause));
      if (bytesRead === 0) throw new ShortReadError(name, range.offset, range.byteLength, done);
      done += bytesRead;
    }
    return bytes;
  };

  const close = () => handle.close();
  try {
    const head = await read({ offset: 0, byteLength: Math.min(headBytes, byteLength) });
    return { file: { location: { kind: "path", path }, name, byteLength, read, close }, head };
  } catch (error) {
    await close();
    throw error;
  }
}

function refuse(name: string, cause: unknown): never {
  const { code } = cause as NodeJS.ErrnoException;
  const problems: Record<string, string> = {
    ENOENT: "does not exist",
    ENOTDIR: "does not exist",
    EACCES: "may not be read",
    EPERM: "may not be read",
    EMFILE: "cannot be opened: this process has too many files open",
  };
  throw new FileAccessError(name, problems[code ?? ""] ?? `cannot be read (${code ?? "unknown cause"})`, { cause });
}
