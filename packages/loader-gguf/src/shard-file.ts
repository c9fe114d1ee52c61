/** One file of a model, wherever it lies. */
import type { ByteRange, ShardLocation } from "@thermocline/spec";

export type GgufLocation = string | URL | Blob;

export interface OpenOptions {
  readonly signal?: AbortSignal;
  /** Sent with every request for a URL: `{ authorization: "Bearer …" }`. */
  readonly headers?: Readonly<Record<string, string>>;
}

export interface ShardFile {
  readonly location: ShardLocation;
  /** For messages. */
  readonly name: string;
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
