/** What keys plans, profiles and caches of a model. */
import { SecureContextRequiredError } from "./errors.js";

export interface HashedShard {
  readonly headerBytes: Uint8Array<ArrayBuffer>;
  readonly fileByteLength: number;
}

/**
 * SHA-256, in hexadecimal, over `SHA-256(header bytes) ‖ file size as u64` of each shard in order: no header has to be copied to lie
 * beside the others. @throws SecureContextRequiredError where WebCrypto is missing.
 */
export async function identityOf(shards: readonly HashedShard[]): Promise<string> {
  const subtle = globalThis.crypto?.subtle;
  if (subtle === undefined) throw new SecureContextRequiredError();
  const parts = new Uint8Array(shards.length * 40);
  const view = new DataView(parts.buffer);
  for (const [index, { headerBytes, fileByteLength }] of shards.entries()) {
    parts.set(new Uint8Array(await subtle.digest("SHA-256", headerBytes)), index * 40);
    view.setBigUint64(index * 40 + 32, BigInt(fileByteLength), true);
  }
  const hash = new Uint8Array(await subtle.digest("SHA-256", parts));
  return Array.from(hash, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
