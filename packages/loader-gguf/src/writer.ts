/** Writes GGUF files piece by piece: memory holds the header and one chunk of tensor data. */
import { FileAccessError, InvalidRequestError } from "@thermocline/spec";
import { type EncodedTensor, encodeGguf, type GgufContent, type GgufTensor } from "./encoder.js";
import { nodeModules } from "./node-modules.js";

export interface WriteOptions extends GgufContent {
  readonly signal?: AbortSignal;
}

/** A path, or what takes the file's bytes from start to end; a chunk is valid until its promise resolves. */
export type WriteTarget = string | ((chunk: Uint8Array) => void | Promise<void>);

/**
 * Writes one file and gives its size. A path is written beside its name and put in place when complete: a failure leaves what was there.
 *
 * @throws InvalidRequestError for values that no file can hold and data of the wrong length, FileAccessError, the signal's reason, or
 * what a tensor's data or the target throws.
 */
export async function writeGguf(target: WriteTarget, options: WriteOptions): Promise<{ readonly byteLength: number }> {
  const encoded = encodeGguf(options);
  const { signal } = options;
  signal?.throwIfAborted();
  const writeAll = async (write: (chunk: Uint8Array) => void | Promise<void>) => {
    await write(encoded.header);
    for (const tensor of encoded.tensors) await writeTensor(write, tensor, signal);
  };
  if (typeof target === "string") await writeFile(target, writeAll);
  else await writeAll(target);
  return { byteLength: encoded.fileByteLength };
}

/** The same file in memory. */
export function buildGguf(content: GgufContent<Uint8Array>): Uint8Array<ArrayBuffer> {
  const { header, tensors, fileByteLength } = encodeGguf(content);
  const bytes = new Uint8Array(fileByteLength);
  bytes.set(header);
  let end = header.length;
  for (const { tensor, byteLength, paddingBytes } of tensors) {
    if (tensor.data.length !== byteLength) refuseLength(tensor, byteLength, `${tensor.data.length}`);
    bytes.set(tensor.data, end);
    end += byteLength + paddingBytes;
  }
  return bytes;
}

function refuseLength(tensor: GgufTensor<unknown>, byteLength: number, given: string): never {
  const { name, dtype, shape } = tensor;
  const problem = `${dtype} of shape [${shape.join(", ")}] takes ${byteLength} bytes, its data has ${given}`;
  throw new InvalidRequestError(`tensors[${name}].data`, given, problem, "give the tensor's bytes in file layout");
}

async function writeTensor(
  write: (chunk: Uint8Array) => void | Promise<void>,
  { tensor, byteLength, paddingBytes }: EncodedTensor<GgufTensor["data"]>,
  signal: AbortSignal | undefined,
): Promise<void> {
  const { data } = tensor;
  let written = 0;
  for await (const chunk of typeof data === "function" ? data() : [data]) {
    signal?.throwIfAborted();
    if (written + chunk.length > byteLength) refuseLength(tensor, byteLength, `at least ${written + chunk.length}`);
    await write(chunk);
    written += chunk.length;
  }
  if (written !== byteLength) refuseLength(tensor, byteLength, `${written}`);
  if (paddingBytes > 0) await write(new Uint8Array(paddingBytes));
}

async function writeFile(path: string, writeAll: (write: (chunk: Uint8Array) => Promise<void>) => Promise<void>): Promise<void> {
  const { open, rename, rm } = nodeModules(path).fs;
  const refuse = (cause: Error): never => {
    throw new FileAccessError(path, `cannot be written: ${cause.message}`, { cause });
  };
  const partialPath = `${path}.${crypto.randomUUID()}.partial`;
  const handle = await open(partialPath, "wx").catch(refuse);
  try {
    await writeAll(async (chunk) => {
      let done = 0;
      while (done < chunk.length) done += (await handle.write(chunk, done, chunk.length - done).catch(refuse)).bytesWritten;
    });
    await handle.close();
    await rename(partialPath, path).catch(refuse);
  } catch (error) {
    await handle.close().catch(() => {});
    await rm(partialPath, { force: true });
    throw error;
  }
}
