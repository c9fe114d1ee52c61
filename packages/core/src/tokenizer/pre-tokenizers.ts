/**
 * How byte-level BPE cuts text into words before it merges, by the names of `tokenizer.ggml.pre`.
 *
 * A pre-tokenizer is a list of stages. A stage cuts its input at the matches of an expression; matches, and what lies between
 * them, are the inputs of the next stage. White space is Unicode's White_Space: JavaScript's `\s` has U+FEFF too and lacks U+0085.
 * Letters and digits are those of the JavaScript engine's Unicode version; code points that are newer than the model's own may
 * be cut otherwise than they were in training.
 */
import { UnsupportedTokenizerError } from "./errors.js";

export interface PreTokenizer {
  readonly stages: readonly RegExp[];
  /** A word that is a token as a whole becomes that token, whatever its merges say. */
  readonly ignoresMergesOfWholeTokens: boolean;
}

const letters = String.raw`\p{L}`;
const digits = String.raw`\p{N}`;
const space = String.raw`\p{White_Space}`;
const symbols = String.raw`[^\p{White_Space}\p{L}\p{N}]`;
const trailingSpace = String.raw`${space}+(?!\P{White_Space})|${space}+`;

const stage = (source: string) => new RegExp(source, "gu");

const gpt2 = stage(`'s|'t|'re|'ve|'m|'ll|'d| ?${letters}+| ?${digits}+| ?${symbols}+|${trailingSpace}`);

/** GPT-4's shape: words take one leading non-letter, digits come in groups, line breaks end a word. */
const gpt4 = (digitGroup: string) =>
  stage(
    [
      "'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD]",
      String.raw`[^\r\n\p{L}\p{N}]?${letters}+`,
      digitGroup,
      String.raw` ?${symbols}+[\r\n]*`,
      String.raw`${space}*[\r\n]+`,
      trailingSpace,
    ].join("|"),
  );

/** Cased letters as DeepSeek's tokenizer lists them: first-last code points, hexadecimal. */
const deepseekLetters = `
  41-5a 61-7a b5 c0-d6 d8-f6 f8-1ba 1bc-1bf 1c4-293 295-2af 370-373 376-377 37b-37d 37f 386 388-38a 38c 38e-3a1 3a3-3f5 3f7-481
  48a-52f 531-556 10a0-10c5 13a0-13f5 13f8-13fd 1c90-1cba 1cbd-1cbf 1d00-1d2b 1d6b-1d77 1d79-1d9a 1e00-1f15 1f18-1f1d 1f20-1f45
  1f48-1f4d 1f50-1f57 1f59 1f5b 1f5d 1f5f-1f7d 1f80-1fb4 1fb6-1fbc 1fbe 1fc2-1fc4 1fc6-1fcc 1fd0-1fd3 1fd6-1fdb 1fe0-1fec
  1ff2-1ff4 1ff6-1ffc 2102 2107 210a-2113 2115 2119-211d 2124 2126 2128 212a-212d 212f-2134 2139 213c-213f 2145-2149 214e
  2183-2184 2c00-2c7b 2c7e-2ce4 2ceb-2cee 2cf2-2cf3 a640-a66d a680-a69b a722-a76f a771-a787 a78b-a78e ab70-abbf fb00-fb06
  fb13-fb17 ff21-ff3a ff41-ff5a 10400-1044f 104b0-104d3 104d8-104fb 10c80-10cb2 10cc0-10cf2 118a0-118df 1e900-1e943`;

function classOf(ranges: string): string {
  const escaped = ranges
    .trim()
    .split(/\s+/)
    .map((range) => range.replaceAll(/[0-9a-f]+/g, String.raw`\u{$&}`));
  return `[${escaped.join("")}]`;
}

const deepseek = [
  stage("[\r\n]"),
  stage(`${space}?${classOf(deepseekLetters)}+`),
  // ASCII from ! to / and from : to ~ with its letters, full-width forms, general punctuation, CJK punctuation.
  stage(`${space}?${classOf("21-2f 3a-7e ff01-ff0f ff1a-ff5e 2018-201f 3000-3002")}+`),
  // White space at the end. The look-behind keeps a long run from being tried at each of its characters.
  stage(`(?<!${space})${space}+$`),
  stage(`${classOf("800-9fa5 ac00-d7ff")}+`),
  stage(`${digits}+`),
];

const ofStages = (...stages: RegExp[]): PreTokenizer => ({ stages, ignoresMergesOfWholeTokens: false });

const gpt2Words = ofStages(gpt2);
const gpt2SingleDigits = ofStages(stage(digits), gpt2);
const llama3Words = gpt4(`${digits}{1,3}`);
const qwen2Words = ofStages(gpt4(digits));
const llama3: PreTokenizer = { stages: [llama3Words], ignoresMergesOfWholeTokens: true };

/** llama.cpp's splitter for files from before `pre` existed; close to Falcon's. */
const withoutName = ofStages(stage(String.raw`[\p{P}$+<=>^~|]+`), gpt2, stage(`${digits}+`), stage("[0-9][0-9][0-9]"));

const preTokenizers = new Map<string, PreTokenizer>([
  ["default", withoutName],
  ["gpt-2", gpt2Words],
  ["phi-2", gpt2Words],
  ["mpt", gpt2Words],
  ["olmo", gpt2Words],
  ["starcoder", gpt2SingleDigits],
  ["refact", gpt2SingleDigits],
  ["command-r", gpt2SingleDigits],
  ["smollm", gpt2SingleDigits],
  ["codeshell", gpt2SingleDigits],
  ["llama-bpe", llama3],
  ["llama3", llama3],
  ["llama-v3", llama3],
  ["dbrx", ofStages(llama3Words)],
  ["smaug-bpe", ofStages(llama3Words)],
  ["qwen2", qwen2Words],
  ["deepseek-r1-qwen", qwen2Words],
  ["stablelm2", qwen2Words],
  ["deepseek-llm", ofStages(...deepseek)],
]);

export const supportedPreTokenizers: readonly string[] = [...preTokenizers.keys()];

/** Absent or empty names are "default". @throws UnsupportedTokenizerError */
export function preTokenizerNamed(name: string | undefined): PreTokenizer {
  const preTokenizer = preTokenizers.get(name || "default");
  if (preTokenizer === undefined) throw new UnsupportedTokenizerError("pre", name!, supportedPreTokenizers);
  return preTokenizer;
}

/** Calls `visit` with each word in order; the words joined are the text. */
export function splitWords(text: string, preTokenizer: PreTokenizer, visit: (word: string) => void): void {
  splitStage(text, preTokenizer.stages, 0, visit);
}

function splitStage(text: string, stages: readonly RegExp[], index: number, visit: (word: string) => void): void {
  const expression = stages[index];
  if (expression === undefined) {
    visit(text);
    return;
  }
  let start = 0;
  expression.lastIndex = 0;
  for (let match = expression.exec(text); match !== null; match = expression.exec(text)) {
    // Deeper stages use other expressions, so this one's position outlives the calls.
    if (match.index > start) splitStage(text.slice(start, match.index), stages, index + 1, visit);
    splitStage(match[0], stages, index + 1, visit);
    start = match.index + match[0].length;
  }
  if (start < text.length) splitStage(text.slice(start), stages, index + 1, visit);
}
