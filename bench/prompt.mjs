/**
 * Token ids that no model finds likely and that two engines are given alike: pieces, no byte or control tokens.
 * @param {number} vocabSize More than 260.
 * @param {number} length
 * @param {number} variant Another number gives other ids.
 */
export function promptOf(vocabSize, length, variant) {
  return Array.from({ length }, (_, index) => 260 + ((index * 7919 + variant * 104_729) % (vocabSize - 260)));
}
