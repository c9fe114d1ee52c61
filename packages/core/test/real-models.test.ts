import { cpuBackendAvailability, createCpuBackend } from "@thermocline/cpu-kernels";
import { openGguf } from "@thermocline/loader-gguf";
import { describe, expect, it } from "vitest";
import { createChatTemplate, createTokenizer, encodeChat, type LoadedEngine } from "../src/index.js";
import { complete, createTestEngine, greedy } from "./support/embedded-model.js";
import { fetchedModelPath } from "./support/fetched-models.js";
import { compareStep, createComparison, hasSharedData, judgeChoices, readGolden, teacherForce } from "./support/golden.js";

const native = cpuBackendAvailability();
if (!native.available) console.warn(`tests of real models skipped, the reference would take minutes: ${native.reasons.join("; ")}`);
const pathOf = (name: "tinyllama" | "minimind2") => (native.available ? fetchedModelPath(name) : undefined);
const [tinyLlama, miniMind2] = [pathOf("tinyllama"), pathOf("minimind2")];

const numLogprobs = 40;
const timeoutMs = 300_000;

/** Runs on the native kernels of the machine's best instruction set. */
async function withEngine<Result>(path: string, use: (engine: LoadedEngine, chat: Chat) => Promise<Result>): Promise<Result> {
  await using backend = createCpuBackend({ threads: 2 });
  await using source = await openGguf(path);
  await using engine = await createTestEngine(source, [backend], { contextLength: 256, maxLogprobs: numLogprobs });
  const tokenizer = createTokenizer(source.vocabulary!);
  const { bos, eos } = source.vocabulary!.special;
  const textOf = (tokenId: number | undefined) => (tokenId === undefined ? "" : source.vocabulary!.tokens[tokenId]!);
  const template = createChatTemplate(source.chatTemplate!, { bosToken: textOf(bos), eosToken: textOf(eos) });
  const addBos = source.vocabulary!.addBos;
  return await use(engine, async (question) => {
    const prompt = encodeChat(tokenizer, template, [{ role: "user", content: question }], { addBos });
    return complete(engine, { prompt, maxTokens: 48, sampling: greedy });
  });
}
type Chat = (question: string) => ReturnType<typeof complete>;

describe.runIf(tinyLlama !== undefined)("TinyLlama 1.1B Chat in IQ2_XXS, Q2_K, Q4_K and Q5_K", () => {
  it.runIf(hasSharedData)("is as near to the exact figures as the golden engine", { timeout: timeoutMs }, async () => {
    const comparison = createComparison();
    await withEngine(tinyLlama!, async (engine) => {
      for (const golden of readGolden("tinyllama-1.1b-iq2_xxs")) {
        const steps = await teacherForce(engine, golden, numLogprobs);
        expect(steps.length).toBe(golden.greedyTokenIds.length);
        steps.forEach((step, index) => {
          compareStep(comparison, step, golden.steps[index]!, golden.exactLogprobs![index]);
        });
      }
    });
    const { ours, theirs, missing, choices } = comparison;
    const { wrong, nearTies } = judgeChoices(comparison, 1.5 * theirs.largest);
    console.log(`TinyLlama: ours ${ours}; theirs ${theirs}; ${nearTies} near ties in ${choices.length} steps`);
    expect(missing).toBe(0);
    expect(ours.mean).toBeLessThanOrEqual(1.1 * theirs.mean);
    expect(ours.largest).toBeLessThanOrEqual(1.5 * theirs.largest);
    expect(wrong).toBe(0);
    expect(nearTies).toBeLessThan(choices.length);
  });

  it("answers a question in its chat format and ends its turn", { timeout: timeoutMs }, async () => {
    const { text, end } = await withEngine(tinyLlama!, (_, chat) => chat("What is the capital of France?"));
    expect(text).toContain("Paris");
    expect(end.reason).toBe("stop");
  });
});

describe.runIf(miniMind2 !== undefined)("MiniMind2-Small, converted from ONNX", () => {
  it("answers questions in its chat format and ends its turns", { timeout: timeoutMs }, async () => {
    await withEngine(miniMind2!, async (_, chat) => {
      const capital = await chat("What is the capital of France?");
      expect(capital.text).toBe("The capital of France is Paris.");
      expect(capital.end.reason).toBe("stop");
      const { text } = await chat("你好，请介绍一下你自己。");
      expect(text).toMatch(/^你好！我是/);
    });
  });
});
