/**
 * The expressions by which models cut text into words: facts of their tokenizer files, written for JavaScript.
 *
 * White space is Unicode's White_Space: JavaScript's `\s` has U+FEFF too and lacks U+0085. Letters and digits are those of the JavaScript
 * engine's Unicode version; code points that are newer than a model may be cut otherwise than they were in its training. Possessive
 * quantifiers of the originals are plain here: in these expressions nothing can be given back that would let the rest match.
 */

export const letters = String.raw`\p{L}`;
export const digits = String.raw`\p{N}`;
export const space = String.raw`\p{White_Space}`;
const symbols = String.raw`[^\p{White_Space}\p{L}\p{N}]`;
/** A run of white space leaves its last character to the word behind it. */
const trailingSpace = String.raw`${space}+(?!\P{White_Space})|${space}+`;
const lineBreaks = String.raw`${space}*[\r\n]+`;
/** English contractions in any case. */
const contractions = "'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD]";
/** The one character that a word may take in front of its letters. */
const lead = String.raw`[^\r\n\p{L}\p{N}]?`;

const oneOf = (...alternatives: string[]) => alternatives.join("|");

/** GPT-2: a word takes one space along. */
export const gpt2 = `'s|'t|'re|'ve|'m|'ll|'d| ?${letters}+| ?${digits}+| ?${symbols}+|${trailingSpace}`;

export interface WordShape {
  /** Default: letters behind any one character. */
  readonly words?: string;
  readonly withoutContractions?: boolean;
  readonly symbols?: string;
  readonly lineBreaks?: string;
  readonly space?: string;
}

/** GPT-4's shape: words take one leading character that is no letter, digits come in groups, line breaks end a word. */
export const gpt4 = (digitGroup: string, shape: WordShape = {}) =>
  oneOf(
    ...(shape.withoutContractions ? [] : [contractions]),
    shape.words ?? `${lead}${letters}+`,
    digitGroup,
    shape.symbols ?? String.raw` ?${symbols}+[\r\n]*`,
    shape.lineBreaks ?? lineBreaks,
    shape.space ?? trailingSpace,
  );

/** GPT-4o's shape: words of capitals before small letters, so that "camelCase" is two, and marks belong to letters. */
export const gpt4o = (digitGroup: string, { withContractions = true, symbolEnd = String.raw`[\r\n/]*`, without = "" } = {}) => {
  const except = (set: string) => (without === "" ? set : `[${set}--${without}]`);
  const capitals = except(String.raw`[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]`);
  const smalls = except(String.raw`[\p{Ll}\p{Lm}\p{Lo}\p{M}]`);
  const end = withContractions ? `(?:${contractions})?` : "";
  return oneOf(
    `${lead}${capitals}*${smalls}+${end}`,
    `${lead}${capitals}+${smalls}*${end}`,
    digitGroup,
    ` ?${symbols}+${symbolEnd}`,
    lineBreaks,
    trailingSpace,
  );
};

/** Qwen 3.5: marks belong to letters. */
export const wordsWithMarks: WordShape = {
  words: String.raw`${lead}[\p{L}\p{M}]+`,
  symbols: String.raw` ?[^\p{White_Space}\p{L}\p{M}\p{N}]+[\r\n]*`,
};

/** EXAONE's mixture of experts: single letters with spaces between stay together, and one line break ends a word. */
export const spacedLetters: WordShape = {
  words: String.raw`${lead}(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+`,
  symbols: String.raw` ?${symbols}+[\r\n/]?`,
  lineBreaks: String.raw`${space}*[\r\n]`,
};

export const singleLineBreaks: WordShape = { lineBreaks: String.raw`${space}*[\r\n]` };
export const symbolsWithoutLineBreaks: WordShape = { symbols: String.raw` ?[^\p{White_Space}\p{L}\p{N}\r\n]+` };

/**
 * Jais 2: white space in powers of two. Line breaks are looked for once in each run of white space, not again behind every piece of it: where
 * a piece was cut off, none are left.
 */
export const spaceInPowersOfTwo: WordShape = {
  lineBreaks: String.raw`(?<![^\P{White_Space}\r\n])${lineBreaks}`,
  space: oneOf(
    ...[512, 256, 128, 64, 32, 16, 8, 4].map((count) => String.raw`${space}{${count}}(?!\P{White_Space})`),
    String.raw`${space}{1,2}(?!\P{White_Space})`,
    space,
  ),
};

/** BLOOM: whatever no white space and no sentence mark interrupts. */
export const betweenSentenceMarks = String.raw` ?[^(\p{White_Space}|.,!?…。，、।۔،)]+`;

const asciiPunctuation = String.raw`[!-\/:-@\[-\x60\{-~]`;

/** DeepSeek V3: ASCII words may begin with a punctuation mark, marks belong to letters, symbols take line breaks along. */
export const deepseekV3 = (symbolEnd = String.raw`[\r\n]*`, lineBreak = lineBreaks) =>
  oneOf(
    `${asciiPunctuation}[A-Za-z]+`,
    String.raw`[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+`,
    String.raw` ?[\p{P}\p{S}]+${symbolEnd}`,
    lineBreak,
    trailingSpace,
  );

function classOf(ranges: string): string {
  const escaped = ranges
    .trim()
    .split(/\s+/)
    .map((range) => range.replaceAll(/[0-9a-f]+/g, String.raw`\u{$&}`));
  return `[${escaped.join("")}]`;
}

/** Chinese and Japanese as DeepSeek V3 lists them. */
export const hanAndKana = `${classOf("4e00-9fa5 3040-309f 30a0-30ff")}+`;

/** Youtu: scripts and marks of East Asia apart. */
export const eastAsianRuns = oneOf(
  `${classOf("ac00-d7a3 3131-318e")}+`,
  `${classOf("ff01 2026 201c 201d 2018 2019 2014 ff1a ff1b ff0c 3001-303f fe30-fe4f")}+`,
  `${classOf("3105-312f")}+`,
  hanAndKana,
);

/** Chinese and Hangul as DeepSeek's first tokenizers list them. */
export const deepseekIdeographs = `${classOf("800-9fa5 ac00-d7ff")}+`;

/** Cased letters as DeepSeek LLM's tokenizer lists them: first-last code points, hexadecimal. */
const deepseekLetters = `
  41-5a 61-7a b5 c0-d6 d8-f6 f8-1ba 1bc-1bf 1c4-293 295-2af 370-373 376-377 37b-37d 37f 386 388-38a 38c 38e-3a1 3a3-3f5 3f7-481
  48a-52f 531-556 10a0-10c5 13a0-13f5 13f8-13fd 1c90-1cba 1cbd-1cbf 1d00-1d2b 1d6b-1d77 1d79-1d9a 1e00-1f15 1f18-1f1d 1f20-1f45
  1f48-1f4d 1f50-1f57 1f59 1f5b 1f5d 1f5f-1f7d 1f80-1fb4 1fb6-1fbc 1fbe 1fc2-1fc4 1fc6-1fcc 1fd0-1fd3 1fd6-1fdb 1fe0-1fec
  1ff2-1ff4 1ff6-1ffc 2102 2107 210a-2113 2115 2119-211d 2124 2126 2128 212a-212d 212f-2134 2139 213c-213f 2145-2149 214e
  2183-2184 2c00-2c7b 2c7e-2ce4 2ceb-2cee 2cf2-2cf3 a640-a66d a680-a69b a722-a76f a771-a787 a78b-a78e ab70-abbf fb00-fb06
  fb13-fb17 ff21-ff3a ff41-ff5a 10400-1044f 104b0-104d3 104d8-104fb 10c80-10cb2 10cc0-10cf2 118a0-118df 1e900-1e943`;

export const deepseekWords = `${space}?${classOf(deepseekLetters)}+`;
/** ASCII from ! to / and from : to ~ with its letters, full-width forms, general punctuation, CJK punctuation. */
export const deepseekPunctuation = `${space}?${classOf("21-2f 3a-7e ff01-ff0f ff1a-ff5e 2018-201f 3000-3002")}+`;
/** White space at the end. The look-behind keeps a long run from being tried at each of its characters. */
export const spaceAtEnd = `(?<!${space})${space}+$`;
