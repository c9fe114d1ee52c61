/** Offload problems of the shapes that large models have, with weights of 4.5 bits and figures of a usual machine. */
import { createRandomWords } from "./random-weights.mjs";

const gibi = 2 ** 30;
const q4Bytes = (/** @type {number} */ numElements) => (numElements * 18) / 32;

/** @typedef {import("@thermocline/spec").OffloadProblem} OffloadProblem */
/** @typedef {import("@thermocline/spec").OffloadUnit} OffloadUnit */
/** @typedef {import("@thermocline/spec").UnitBytes} UnitBytes */

/** A GPU of 24 GiB beside the host's memory. */
class ShapeBuilder {
  /** @type {OffloadUnit[]} */ units = [];
  /** @type {Record<string, UnitBytes>} */ held = {};

  /**
   * @param {Pick<OffloadUnit, "id" | "kind" | "layer" | "numCommands"> & Partial<OffloadUnit>} unit
   * @param {number} byteLength
   * @param {{ isConditional?: boolean, kvBytesPerToken?: number, contextLength?: number }} [options]
   */
  add(unit, byteLength, { isConditional = false, kvBytesPerToken = 0, contextLength = 0 } = {}) {
    const [alwaysBytes, conditionalBytes] = isConditional ? [0, byteLength] : [byteLength, 0];
    const weights = [{ dtype: /** @type {const} */ ("q4_0"), alwaysBytes, conditionalBytes }];
    this.units.push({ tensors: [unit.id], activationFrequency: 1, weights, ...unit });
    const { rows } = unit;
    const numBlocks = rows === undefined ? 1 : Math.ceil(rows.count / rows.blockSize);
    const part = rows === undefined ? {} : { part: { fixedBytes: 4096, bytesPerBlock: byteLength / numBlocks } };
    this.held[unit.id] = { weightBytes: byteLength, kvCacheBytes: kvBytesPerToken * contextLength, kvBytesPerToken, ...part };
  }

  /**
   * @param {number} hiddenSize
   * @param {number} ramBytes
   * @returns {OffloadProblem}
   */
  problem(hiddenSize, ramBytes) {
    const rates = (/** @type {number} */ bytes, /** @type {number} */ operations, /** @type {number} */ commandSeconds) => ({
      weightBytesPerSecond: { other: bytes },
      operationsPerSecond: { other: operations },
      kvBytesPerSecond: bytes,
      attentionOperationsPerSecond: operations / 2,
      commandSeconds,
    });
    const link = (/** @type {string} */ from, /** @type {string} */ to) => ({ from, to, bytesPerSecond: 25e9, latencySeconds: 10e-6 });
    return {
      units: this.units,
      devices: [
        { id: "cpu:0", kind: "cpu", rates: rates(60e9, 1.5e12, 2e-6), budgetBytes: ramBytes, units: this.held },
        { id: "cuda:0", kind: "gpu", rates: rates(900e9, 80e12, 4e-6), budgetBytes: 24 * gibi, units: this.held },
      ],
      links: [link("cpu:0", "cuda:0"), link("cuda:0", "cpu:0")],
      workload: { promptTokens: 512, outputTokens: 256, contextDepth: 0, batch: 1 },
      maxBatchTokens: 512,
      handOverBytesPerToken: hiddenSize * 4,
      allowedDevices: {},
    };
  }

  /**
   * A table of which a token reads one row.
   * @param {number} vocabSize
   * @param {number} hiddenSize
   */
  addEmbedding(vocabSize, hiddenSize) {
    const unit = { id: "embedding", kind: /** @type {const} */ ("embedding"), layer: -1, numCommands: 1 };
    this.add({ ...unit, activationFrequency: 1 / vocabSize }, q4Bytes(vocabSize * hiddenSize), { isConditional: true });
  }
}

/**
 * 80 layers of 28,672 neurons; with frequencies, each row has one of its own, and all of its weights are conditional.
 * @param {{ hasFrequencies?: boolean }} [options]
 */
export function llama70b({ hasFrequencies = false } = {}) {
  const hiddenSize = 8192;
  const numNeurons = 28_672;
  const vocabSize = 128_256;
  const builder = new ShapeBuilder();
  builder.addEmbedding(vocabSize, hiddenSize);
  const fillWords = createRandomWords(1);
  for (let layer = 0; layer < 80; layer++) {
    const attention = { id: `blk.${layer}.attention`, kind: /** @type {const} */ ("attention"), layer, numCommands: 9 };
    const kvCache = { multiplyAddsPerCachedToken: 64 * 2 * 128, stateBytesPerSequence: 0 };
    const attentionBytes = q4Bytes(hiddenSize * (2 * hiddenSize + 2 * 1024));
    builder.add({ ...attention, kvCache }, attentionBytes, { kvBytesPerToken: 2 * 1024 * 2, contextLength: 4096 });
    const words = new Uint32Array(numNeurons);
    if (hasFrequencies) fillWords(words);
    // Few rows are hot: a fourth power of an even spread.
    const activationFrequencies = Array.from(words, (word) => Math.min(1, 0.02 + (word / 2 ** 32) ** 4));
    const rows = hasFrequencies ? { count: numNeurons, blockSize: 1, activationFrequencies } : { count: numNeurons, blockSize: 32 };
    const feedForward = { id: `blk.${layer}.feed-forward`, kind: /** @type {const} */ ("feed-forward"), layer, numCommands: 6, rows };
    builder.add(feedForward, q4Bytes(3 * hiddenSize * numNeurons), { isConditional: hasFrequencies });
  }
  builder.add({ id: "head", kind: "head", layer: -1, numCommands: 4 }, q4Bytes(vocabSize * hiddenSize));
  return builder.problem(hiddenSize, 64 * gibi);
}

/** 61 layers, 58 of them with 256 experts of which a token uses 8, and latent attention. */
export function mixture671b() {
  const hiddenSize = 7168;
  const vocabSize = 129_280;
  const numExperts = 256;
  const builder = new ShapeBuilder();
  builder.addEmbedding(vocabSize, hiddenSize);
  for (let layer = 0; layer < 61; layer++) {
    const id = (/** @type {string} */ kind) => `blk.${layer}.${kind}`;
    const kvCache = { multiplyAddsPerCachedToken: 128 * (576 + 512), stateBytesPerSequence: 0 };
    const attention = { id: id("attention"), kind: /** @type {const} */ ("attention"), layer, numCommands: 9, kvCache };
    builder.add(attention, q4Bytes(187e6), { kvBytesPerToken: 576 * 2, contextLength: 4096 });
    if (layer < 3) {
      const rows = { count: 18_432, blockSize: 256 };
      builder.add({ id: id("feed-forward"), kind: "feed-forward", layer, numCommands: 6, rows }, q4Bytes(3 * hiddenSize * 18_432));
      continue;
    }
    builder.add({ id: id("router"), kind: "router", layer, numCommands: 3 }, hiddenSize * numExperts * 4);
    const rows = { count: numExperts, blockSize: 1 };
    const experts = {
      id: id("experts"),
      kind: /** @type {const} */ ("experts"),
      layer,
      numCommands: 6,
      rows,
      activationFrequency: 8 / numExperts,
    };
    builder.add(experts, q4Bytes(3 * hiddenSize * 2048 * numExperts), { isConditional: true });
    builder.add({ id: id("shared-experts"), kind: "shared-experts", layer, numCommands: 5 }, q4Bytes(3 * hiddenSize * 2048));
  }
  builder.add({ id: "head", kind: "head", layer: -1, numCommands: 4 }, q4Bytes(vocabSize * hiddenSize));
  return builder.problem(hiddenSize, 512 * gibi);
}
