/** What llama.cpp makes of token ids on the CPU: log-probabilities (one sequence, f16 KV cache) and embeddings, flash attention off. */
import { pathToFileURL } from "node:url";
import { installPeer, peerVersion } from "./peer.mjs";

/** @typedef {readonly (readonly [tokenId: number, logprob: number])[]} RankedTokens Most likely first. */

/**
 * @param {string} modelPath
 * @param {{ readonly contextLength: number, readonly threads?: number }} options
 * @returns undefined, with a line of warning, where the peer cannot be installed.
 */
export async function openPeerSession(modelPath, { contextLength, threads = 2 }) {
  const loaded = await loadInPeer(modelPath, threads);
  if (loaded === undefined) return undefined;
  const { llama, model, engine } = loaded;
  const context = await model.createContext({
    contextSize: contextLength,
    batchSize: Math.min(contextLength, 512),
    threads: { ideal: threads, min: threads },
    flashAttention: false,
  });
  const sequence = context.getSequence();
  return {
    engine,
    /** Without BOS. @param {string} text @returns {number[]} */
    tokenize: (text) => [...model.tokenize(text, false)],
    /** Forgets the sequence. */
    clear: () => sequence.clearHistory(),
    /**
     * Feeds tokens after those fed before; the most likely next ones.
     * @param {readonly number[]} tokenIds
     * @param {number} count
     * @returns {Promise<RankedTokens>}
     */
    async topLogprobs(tokenIds, count) {
      const last = /** @type {number} */ (tokenIds.at(-1));
      const items = [...tokenIds.slice(0, -1), [last, { generateNext: { probabilities: true, options: { temperature: 0 } } }]];
      const outputs = await sequence.controlledEvaluate(items);
      const probabilities = /** @type {Map<number, number>} */ (outputs[tokenIds.length - 1].next.probabilities);
      return [...probabilities].slice(0, count).map(([tokenId, probability]) => [tokenId, Math.log(probability)]);
    },
    /**
     * For each position from `firstPosition` to the last but one: the log-probability of the token that follows. A sequence of its own.
     * @param {readonly number[]} tokenIds
     * @param {number} firstPosition
     * @returns {Promise<readonly number[]>}
     */
    async nextLogprobs(tokenIds, firstPosition) {
      await sequence.clearHistory();
      const items = tokenIds.slice(0, -1).map((tokenId, position) => {
        if (position < firstPosition) return tokenId;
        const filter = { tokens: [tokenIds[position + 1]], includeTop: 1 };
        return [tokenId, { generateNext: { logits: { filter }, totalLogitWeight: true, options: { temperature: 0 } } }];
      });
      const outputs = await sequence.controlledEvaluate(items);
      return tokenIds.slice(firstPosition, -1).map((_, index) => {
        const position = firstPosition + index;
        const { logits, totalLogitWeight } = outputs[position].next;
        const largest = Math.max(...logits.values());
        return logits.get(tokenIds[position + 1]) - largest - Math.log(totalLogitWeight);
      });
    },
    async [Symbol.asyncDispose]() {
      await llama.dispose();
    },
  };
}

/**
 * Vectors of whole inputs, pooled as the file says, not normalised.
 * @param {string} modelPath
 * @param {{ readonly contextLength: number, readonly threads?: number }} options
 * @returns undefined, with a line of warning, where the peer cannot be installed.
 */
export async function openPeerEmbedder(modelPath, { contextLength, threads = 1 }) {
  const loaded = await loadInPeer(modelPath, threads);
  if (loaded === undefined) return undefined;
  const { llama, model, engine } = loaded;
  const context = await model.createEmbeddingContext({ contextSize: contextLength, batchSize: contextLength });
  return {
    engine,
    /** With CLS and SEP. @param {string} text @returns {number[]} */
    tokenize: (text) => [model.tokens.bos, ...model.tokenize(text, false), model.tokens.sep],
    /** @param {readonly number[]} tokenIds With CLS and SEP. @returns {Promise<readonly number[]>} */
    async embed(tokenIds) {
      const { vector } = await context.getEmbeddingFor([...tokenIds]);
      return vector;
    },
    async [Symbol.asyncDispose]() {
      await llama.dispose();
    },
  };
}

/**
 * @param {string} modelPath
 * @param {number} threads
 */
async function loadInPeer(modelPath, threads) {
  const peer = await installPeer();
  if (peer === undefined) return undefined;
  const { getLlama } = await import(pathToFileURL(peer).href);
  const llama = await getLlama({
    gpu: false,
    build: "never",
    skipDownload: true,
    logLevel: "error",
    progressLogs: false,
    maxThreads: threads,
  });
  const model = await llama.loadModel({ modelPath, gpuLayers: 0, defaultContextFlashAttention: false });
  const engine = `llama.cpp ${llama.llamaCppRelease.release} (node-llama-cpp ${peerVersion}), CPU, flash attention off`;
  return { llama, model, engine };
}
