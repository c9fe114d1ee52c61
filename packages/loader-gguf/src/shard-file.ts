/** One file of a model, wherever it lies. */
import type { ByteRange, ShardLocation } from "@thermocline/spec";

export type GgufLocation = string | URL | Blob;

export interface OpenOptions {
  readonly signal?: AbortSignal;
  /** Sent with every request for a URL: `{ authorization: "Bearer …" }`, which goes before credentials in the URL. */
  readonly headers?: Readonly<Record<string, string>>;
}

/** Where a file lies, resolved once: a later change of the working directory does not matter. */
export interface FileAddress {
  /** Paths are absolute, URLs hold no credentials. */
  readonly location: ShardLocation;
  /** For messages: a path as the caller gave it, a URL without credentials and query, or "blob". */
  readonly name: string;
  /** The `authorization` header that a URL's credentials stand for. */
  readonly authorization?: string;
}

export interface ShardFile extends Pick<FileAddress, "location" | "name"> {
  readonly byteLength: number;
  /** Exactly these bytes, which must lie in the file. @throws ShortReadError, FileAccessError, or the signal's reason. */
  read(range: ByteRange, signal?: AbortSignal): Promise<Uint8Array<ArrayBuffer>>;
  /** Idempotent. */
  close(): Promise<void>;
}

/** A file and its first bytes: a URL's size is learnt with the first range that is read. */
export interface OpenedFile {
  readonly file: ShardFile;
  readonly head: Uint8Array<ArrayBuffer>;
}

/** What is read first. Most headers without a vocabulary fit; one with a large vocabulary takes two or three more reads. */
export const headBytes = 2 * 1024 * 1024;
