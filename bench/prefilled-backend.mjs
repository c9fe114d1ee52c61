/**
 * A backend under whose engine a long context is there at once. Decoding reads keys and values of the whole context whatever they are, so
 * measuring it needs them in memory and not computed: KV caches are filled with finite random halves, the same for each layer on whichever
 * device it lies, and while `isSkipping` is set a step completes without running. An engine that was given a prompt meanwhile keeps it in
 * its prefix cache, and later prompts that begin with it are at its depth.
 */
import { createRandomWords } from "./random-weights.mjs";

/** @typedef {import("@thermocline/spec").Backend} Backend */

const chunkBytes = 1 << 22;

/**
 * Sign and mantissa at random, magnitudes from 1/4 to 1/2: sums of products stay small, and no softmax is decided by a single token.
 * @param {Backend} backend
 * @param {import("@thermocline/spec").DeviceBuffer} buffer
 */
function fillWithHalves(backend, buffer) {
  const layer = Number(/\d+/.exec(buffer.reservation.label)?.[0] ?? 0);
  const fillWords = createRandomWords(layer + 1);
  const words = new Uint32Array(chunkBytes / 4);
  for (let byteOffset = 0; byteOffset < buffer.byteLength; byteOffset += chunkBytes) {
    const byteLength = Math.min(chunkBytes, buffer.byteLength - byteOffset);
    fillWords(words);
    for (let index = 0; index < words.length; index++) words[index] = (words[index] & 0x83ff83ff) | 0x34003400;
    const into = /** @type {const} */ ({ buffer, byteOffset, dtype: "i8", layout: "plain", shape: [byteLength] });
    backend.write(into, new Uint8Array(words.buffer, 0, byteLength));
  }
}

/** @implements {Backend} */
export class PrefilledBackend {
  /** Whether steps complete without running. What they would have left is then whatever was there before. */
  isSkipping = false;

  /** @param {Backend} backend Stays the caller's to dispose. */
  constructor(backend) {
    this.backend = backend;
    this.device = backend.device;
    this.traits = backend.traits;
  }

  /** @type {Backend["allocate"]} */
  allocate(reservation) {
    const buffer = this.backend.allocate(reservation);
    if (reservation.class === "kv-cache") fillWithHalves(this.backend, buffer);
    return buffer;
  }

  /** @type {Backend["importHost"]} */
  importHost = (memory, reservation) => this.backend.importHost(memory, reservation);
  /** @type {Backend["load"]} */
  load = (source, info, into, options) => this.backend.load(source, info, into, options);
  /** @type {Backend["write"]} */
  write = (into, bytes) => this.backend.write(into, bytes);
  /** @type {Backend["read"]} */
  read = (from, into) => this.backend.read(from, into);
  /** @type {Backend["createEncoder"]} */
  createEncoder = () => this.backend.createEncoder();
  /** @type {Backend["statistics"]} */
  statistics = () => this.backend.statistics();

  /** @type {Backend["submit"]} */
  submit(commands, bindings, options) {
    if (!this.isSkipping) return this.backend.submit(commands, bindings, options);
    return { done: Promise.resolve({ outcome: "completed" }), cancel() {} };
  }

  async [Symbol.asyncDispose]() {}
}
