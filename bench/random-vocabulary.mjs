/** A SentencePiece-style vocabulary for models with random weights: every text can be encoded, and pieces merge. */
import { InvalidRequestError, TokenType } from "@thermocline/spec";

const letters = [..."abcdefghijklmnopqrstuvwxyz"];
const smallestSize = 3 + 256;

/** The pieces after the byte tokens, most frequent first. */
function* pieces() {
  yield "▁";
  for (let code = 0x21; code < 0x7f; code++) yield String.fromCharCode(code);
  const words = letters.flatMap((a) => letters.map((b) => a + b));
  yield* words;
  for (const prefix of ["", ...letters]) for (const letter of letters) yield `▁${prefix}${letter}`;
  for (const word of words) for (const letter of letters) yield word + letter;
  for (const word of words) for (const letter of letters) yield `▁${word}${letter}`;
}

/**
 * `<unk>`, `<s>`, `</s>`, 256 byte tokens, then pieces of which each longer one is made of shorter ones.
 * @param {number} size
 * @returns {{ readonly tokens: readonly string[], readonly scores: Float32Array, readonly types: Int32Array }}
 * @throws InvalidRequestError for a size that byte tokens alone exceed or the pieces do not fill.
 */
export function createRandomVocabulary(size) {
  const bytes = Array.from({ length: 256 }, (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`);
  const tokens = ["<unk>", "<s>", "</s>", ...bytes];
  for (const piece of pieces()) {
    if (tokens.length >= size) break;
    tokens.push(piece);
  }
  if (tokens.length !== size)
    throw new InvalidRequestError(
      "vocabularySize",
      size,
      `${size} tokens cannot be named`,
      `give from ${smallestSize} to ${tokens.length}`,
    );
  const types = Int32Array.from(tokens, (_, id) => {
    if (id === 0) return TokenType.unknown;
    if (id < 3) return TokenType.control;
    return id < smallestSize ? TokenType.byte : TokenType.normal;
  });
  return { tokens, scores: Float32Array.from(tokens, (_, id) => (id < smallestSize ? 0 : smallestSize - id)), types };
}
