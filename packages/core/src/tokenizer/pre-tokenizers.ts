/** How byte-level BPE cuts text into words before it merges, by the names of `tokenizer.ggml.pre`. */
import { UnsupportedTokenizerError } from "./errors.js";
import {
  betweenSentenceMarks,
  deepseekIdeographs,
  deepseekPunctuation,
  deepseekV3,
  deepseekWords,
  digits,
  eastAsianRuns,
  gpt2,
  gpt4,
  gpt4o,
  hanAndKana,
  letters,
  singleLineBreaks,
  space,
  spaceAtEnd,
  spacedLetters,
  spaceInPowersOfTwo,
  symbolsWithoutLineBreaks,
  wordsWithMarks,
} from "./split-expressions.js";
import { matchesOf, type SplitStage, splitInStages, threesFromTheEnd } from "./split-stages.js";

export interface PreTokenizer {
  readonly stages: readonly SplitStage[];
  /** A word that is a token as a whole becomes that token, whatever its merges say. */
  readonly ignoresMergesOfWholeTokens: boolean;
}

interface NamedStages {
  readonly names: readonly string[];
  /** Expressions, or what no expression does in linear time. */
  readonly stages: readonly (string | SplitStage)[];
  readonly ignoresMergesOfWholeTokens?: true;
}

const oneToThreeDigits = `${digits}{1,3}`;
const lines = String.raw`[^\n]+|\n+`;
const falconPunctuation = String.raw`[\p{P}$+<=>^~|\x60]+`;

/**
 * Where llama.cpp and a model's own tokenizer differ, the model's own counts. llama.cpp has no classes of capital and small letters, which
 * the tekken, GPT-4o, Youtu and Kimi expressions are made of, and in DeepSeek's first ones no ideographic space.
 */
const table: readonly NamedStages[] = [
  // llama.cpp's splitter for files from before `pre` existed; close to Falcon's.
  { names: ["default"], stages: [String.raw`[\p{P}$+<=>^~|]+`, gpt2, `${digits}+`, "[0-9]{3}"] },
  {
    names: ["gpt-2", "phi-2", "mpt", "olmo", "jais", "trillion", "granite-docling", "exaone4", "gigachat", "a.x-4.0", "mellum"],
    stages: [gpt2],
  },
  { names: ["jina-es", "jina-de", "jina-v2-es", "jina-v2-de", "jina-v1-en", "jina-v2-code", "roberta-bpe", "modern-bert"], stages: [gpt2] },
  {
    names: ["starcoder", "refact", "command-r", "smollm", "codeshell", "exaone", "minerva-7b", "mellum2"],
    stages: [digits, gpt2],
  },
  { names: ["falcon"], stages: [falconPunctuation, gpt2, "[0-9]{3}"] },
  {
    names: ["llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2", "jina-v5-nano"],
    stages: [gpt4(oneToThreeDigits)],
    ignoresMergesOfWholeTokens: true,
  },
  { names: ["dbrx", "smaug-bpe", "chatglm-bpe", "glm4"], stages: [gpt4(oneToThreeDigits)] },
  { names: ["jais-2"], stages: [gpt4(oneToThreeDigits, spaceInPowersOfTwo)] },
  { names: ["minicpm5"], stages: [oneToThreeDigits, gpt4(`${digits}+`)], ignoresMergesOfWholeTokens: true },
  {
    names: ["qwen2", "deepseek-r1-qwen", "megrez", "kormo", "f2llmv2", "stablelm2", "hunyuan", "solar-open", "grok-2"],
    stages: [gpt4(digits)],
  },
  { names: ["qwen35"], stages: [gpt4(digits, wordsWithMarks)] },
  { names: ["ufakzeka"], stages: [gpt4(digits, { withoutContractions: true })] },
  { names: ["bailingmoe", "bailingmoe2", "llada-moe"], stages: [gpt4(digits, singleLineBreaks)] },
  { names: ["seed-coder"], stages: [gpt4(digits, symbolsWithoutLineBreaks)] },
  { names: ["exaone-moe"], stages: [gpt4(digits, spacedLetters)] },
  { names: ["laguna"], stages: [lines, gpt4(digits)] },
  { names: ["gpt-4o", "llama4", "kanana2", "talkie", "minimax-m2"], stages: [gpt4o(oneToThreeDigits)] },
  { names: ["tekken"], stages: [gpt4o(digits, { withContractions: false })], ignoresMergesOfWholeTokens: true },
  { names: ["youtu"], stages: [eastAsianRuns, gpt4o(digits)], ignoresMergesOfWholeTokens: true },
  { names: ["superbpe"], stages: [`${digits}+`, threesFromTheEnd] },
  { names: ["deepseek-llm"], stages: ["[\r\n]", deepseekWords, deepseekPunctuation, spaceAtEnd, deepseekIdeographs, `${digits}+`] },
  { names: ["deepseek-coder"], stages: ["[\r\n]", `${space}?${letters}+`, String.raw`${space}?\p{P}+`, deepseekIdeographs, digits] },
  {
    names: ["deepseek-v3", "hunyuan-dense", "joyai-llm", "hy_v4"],
    stages: [oneToThreeDigits, hanAndKana, deepseekV3()],
  },
  { names: ["spark2_5"], stages: [oneToThreeDigits, hanAndKana, deepseekV3("", "[\r\n]"), digits] },
  { names: ["poro-chat", "bloom", "gpt3-finnish"], stages: [betweenSentenceMarks] },
  { names: ["viking"], stages: [betweenSentenceMarks, digits] },
  {
    names: ["chameleon"],
    stages: ["<sentinel:[0-9]+>", "IMGIMG[A-I]{1,4}Z", "[\t\n]|    |  ", digits, String.raw`[\p{P}!-\/:-@\[-\x60\{-~]`, gpt2],
  },
  {
    names: ["kimi-k2"],
    stages: [
      matchesOf(
        String.raw`\p{Script=Han}+|${gpt4o(oneToThreeDigits, { symbolEnd: String.raw`[\r\n]*`, without: String.raw`\p{Script=Han}` })}`,
        "gv",
      ),
    ],
  },
];

const byName = new Map(table.flatMap((entry) => entry.names.map((name) => [name, entry] as const)));
const made = new Map<NamedStages, PreTokenizer>();

export const supportedPreTokenizers: readonly string[] = [...byName.keys()];

/** Absent or empty names are "default". @throws UnsupportedTokenizerError */
export function preTokenizerNamed(name: string | undefined): PreTokenizer {
  const entry = byName.get(name || "default");
  if (entry === undefined) throw new UnsupportedTokenizerError("pre", name!, supportedPreTokenizers);
  let preTokenizer = made.get(entry);
  if (preTokenizer === undefined) {
    const stages = entry.stages.map((stage) => (typeof stage === "string" ? matchesOf(stage) : stage));
    preTokenizer = { stages, ignoresMergesOfWholeTokens: entry.ignoresMergesOfWholeTokens === true };
    made.set(entry, preTokenizer);
  }
  return preTokenizer;
}

/** Calls `visit` with each word in order; the words joined are the text. */
export function splitWords(text: string, preTokenizer: PreTokenizer, visit: (word: string) => void): void {
  splitInStages(text, preTokenizer.stages, visit);
}
