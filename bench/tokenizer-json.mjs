/** Hugging Face's tokenizer.json → Vocabulary. */
import { TokenType } from "@thermocline/spec";

const byteToken = /^<0x[0-9A-F]{2}>$/;

/** @type {typeof import("./tokenizer-json.mjs").vocabularyOf} */
export function vocabularyOf(json, { model, pre }) {
  const vocab = Object.entries(json.model.vocab);
  const ids = [...vocab.map(([, id]) => id), ...json.added_tokens.map(({ id }) => id)];
  const size = ids.reduce((largest, id) => Math.max(largest, id), -1) + 1;
  /** @type {string[]} */
  const tokens = Array.from({ length: size }, (_, id) => `[PAD${id}]`);
  const types = new Uint8Array(size).fill(TokenType.unused);
  for (const [text, id] of vocab) {
    tokens[id] = text;
    types[id] = model === "spm" && byteToken.test(text) ? TokenType.byte : TokenType.normal;
  }
  for (const { id, content, special } of json.added_tokens) {
    // Conversions write the spaces of user-defined tokens as the text has them.
    tokens[id] = model === "spm" && !special ? content.replaceAll("▁", " ") : content;
    types[id] = special ? TokenType.control : TokenType.userDefined;
  }
  const pairs = json.model.merges.map((merge) => (typeof merge === "string" ? splitMerge(merge) : merge));
  const common = { model, tokens, types, special: {}, addBos: false, addSpacePrefix: false };
  if (model === "bpe") return { ...common, ...(pre && { pre }), merges: pairs.map((pair) => pair.join(" ")) };
  return { ...common, scores: scoresOf(pairs, json.model.vocab, size) };
}

/** @param {string} merge @returns {[string, string]} */
function splitMerge(merge) {
  const cut = merge.indexOf(" ", 1);
  return [merge.slice(0, cut), merge.slice(cut + 1)];
}

/**
 * SentencePiece merges what has the best score first, and tokenizer.json lists the merges in that order.
 * @param {readonly (readonly [string, string])[]} pairs
 * @param {Readonly<Record<string, number>>} vocab
 * @param {number} size
 */
function scoresOf(pairs, vocab, size) {
  const scores = new Float32Array(size);
  for (const [rank, pair] of pairs.entries()) {
    const id = vocab[pair.join("")];
    if (id !== undefined && scores[id] === 0) scores[id] = -1 - rank;
  }
  return scores;
}
