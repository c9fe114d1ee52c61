/** One placement of a model, ready to be measured at a depth of context. */
import { createEngine } from "@thermocline/core";
import { createMemoryLedger } from "@thermocline/spec";
import { PrefilledBackend } from "./prefilled-backend.mjs";
import { promptOf } from "./prompt.mjs";

/** @typedef {import("@thermocline/core").LoadedEngine} LoadedEngine */
/** @typedef {{ readonly promptTokens: number, readonly outputTokens: number, readonly contextDepth: number }} MeasuredWorkload */

/** Variants of prompts: those of rounds count from 0. */
const prefixVariant = 1000;

export class PlacedEngine {
  /**
   * @param {LoadedEngine} engine
   * @param {MeasuredWorkload} workload
   */
  constructor(engine, workload) {
    this.engine = engine;
    this.workload = workload;
    this.prefix = promptOf(engine.config.vocabSize, workload.contextDepth, prefixVariant);
  }

  /**
   * Loads the model as placed and puts `contextDepth` tokens into its KV caches. Backends may be shared with other engines, none of which
   * runs at the same time; they stay the caller's.
   * @param {object} options
   * @param {import("@thermocline/spec").ModelSource} options.source
   * @param {readonly import("@thermocline/spec").Backend[]} options.backends
   * @param {import("@thermocline/spec").Placement} options.placement
   * @param {import("@thermocline/spec").DemandSettings} options.settings
   * @param {Readonly<Record<string, number>>} options.budgets Bytes by device.
   * @param {MeasuredWorkload} workload
   */
  static async load({ source, backends, placement, settings, budgets }, workload) {
    const prefilled = backends.map((backend) => new PrefilledBackend(backend));
    const ledger = createMemoryLedger(budgets);
    const engine = await createEngine({ source, backends: prefilled, placement, ledger, ...settings });
    const placed = new PlacedEngine(engine, workload);
    for (const backend of prefilled) backend.isSkipping = true;
    await placed.#generate({ prompt: [...placed.prefix, 300], maxTokens: 1 });
    for (const backend of prefilled) backend.isSkipping = false;
    return placed;
  }

  /**
   * A prompt that no round before had, and an answer.
   * @param {number} round
   */
  async measure(round) {
    const { promptTokens, outputTokens, contextDepth } = this.workload;
    const { usage } = await this.#generate({ prompt: this.#promptOf(round), maxTokens: outputTokens + 1 });
    const cachedTokens = usage.cachedPromptTokens;
    if (cachedTokens < contextDepth - (contextDepth % 32))
      throw new Error(`only ${cachedTokens} of ${contextDepth} tokens were in the cache`);
    return {
      prefillTokensPerSecond: ((promptTokens + contextDepth - cachedTokens) / usage.timeToFirstTokenMs) * 1000,
      secondsPerToken: usage.decodeMs / 1000 / outputTokens,
    };
  }

  /**
   * The likeliest tokens of each step, of a text that is given or else this engine's own.
   * @param {number} numTokens
   * @param {readonly number[]} [forcedTokenIds]
   */
  async likeliestTokens(numTokens, forcedTokenIds) {
    const forced = forcedTokenIds === undefined ? {} : { forcedTokenIds };
    return (await this.#generate({ prompt: this.#promptOf(900), maxTokens: numTokens, logprobs: 2, ...forced })).steps;
  }

  memory() {
    return this.engine.memory();
  }

  /** @param {number} round */
  #promptOf(round) {
    return [...this.prefix, ...promptOf(this.engine.config.vocabSize, this.workload.promptTokens, round)];
  }

  /** @param {import("@thermocline/spec").GenerateRequest} request */
  async #generate(request) {
    const steps = [];
    for await (const event of this.engine.generate({ ignoreEos: true, sampling: { temperature: 0 }, ...request })) {
      if (event.type === "end") return { steps, usage: event.usage };
      steps.push(...(event.logprobs ?? []));
    }
    throw new Error("a request ended without its last event");
  }

  [Symbol.asyncDispose]() {
    return this.engine[Symbol.asyncDispose]();
  }
}
