/** Reproducible random texts and choices (mulberry32). */
export interface Random {
  /** Uniform integer in [0, limit). */
  below(limit: number): number;
  pick<Element>(elements: ArrayLike<Element>): Element;
  /** Code points of all kinds of text, surrogates left out. */
  unicodeText(length: number): string;
}

export function createRandom(seed: number): Random {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  const below = (limit: number) => Math.floor(next() * limit);
  const ranges = [
    [0x00, 0x7f],
    [0x20, 0x7e],
    [0x80, 0x24f],
    [0x370, 0x52f],
    [0x600, 0x6ff],
    [0x2000, 0x206f],
    [0x3000, 0x30ff],
    [0x4e00, 0x9fff],
    [0xe000, 0xffff],
    [0x1f300, 0x1faff],
    [0x10000, 0x10ffff],
  ] as const;
  const codePoint = () => {
    const [first, last] = ranges[below(ranges.length)]!;
    return first + below(last - first + 1);
  };
  return {
    below,
    pick: (elements) => elements[below(elements.length)]!,
    unicodeText: (length) => Array.from({ length }, () => String.fromCodePoint(codePoint())).join(""),
  };
}
