import type { BytesByClass, OffloadPlan, OffloadPlanUnit, StrategyPrediction } from "@thermocline/spec";

const gib = 1024 ** 3;
const mib = 1024 ** 2;

function comparisonOf(scales: Readonly<Record<string, number>>): StrategyPrediction[] {
  return Object.entries(scales).flatMap(([strategy, scale]) =>
    [128, 4096, 32768].map((contextDepth) => ({
      strategy,
      contextDepth,
      prefillTokensPerSecond: (scale * 4e6) / (contextDepth + 8000),
      decodeTokensPerSecond: (scale * 3e5) / (contextDepth + 20000),
    })),
  );
}

function bytesOf(units: readonly OffloadPlanUnit[], device: string, others: BytesByClass): BytesByClass {
  const own = units.filter((unit) => unit.device === device);
  const sum = (field: "byteLength" | "kvCacheByteLength") => own.reduce((total, unit) => total + (unit[field] ?? 0), 0);
  return { weights: sum("byteLength") - sum("kvCacheByteLength"), "kv-cache": sum("kvCacheByteLength"), ...others };
}

/** A 70B shape on a card of 24 GiB: 80 layers, of which the last 50 have only their hottest neurons on the card. */
export function splitPlan(): OffloadPlan {
  const attention = 90 * mib;
  const kv = 16 * mib;
  const feedForward = 396 * mib;
  const numLayers = 80;
  const numRows = 28_672;
  const layers = Array.from({ length: numLayers }, (_, layer): OffloadPlanUnit[] => {
    const id = `blk.${layer}.feed-forward`;
    const head: OffloadPlanUnit = {
      id: `blk.${layer}.attention`,
      device: "cuda:0",
      byteLength: attention + kv,
      kvCacheByteLength: kv,
      reason: "attention and its cache gain most from the card",
      predictedSeconds: attention / 9e11,
    };
    if (layer < 14)
      return [head, { id, device: "cuda:0", byteLength: feedForward, reason: "fits whole", predictedSeconds: feedForward / 9e11 }];
    const hotRows = 64 * (60 + (layer % 5) * 5);
    const share = hotRows / numRows;
    const hot = Math.round(feedForward * share);
    return [
      head,
      {
        id,
        device: "cuda:0",
        rows: [[0, hotRows]],
        byteLength: hot,
        activationFrequency: 0.72,
        reason: "hottest neurons that fit",
        predictedSeconds: hot / 9e11,
      },
      {
        id,
        device: "cpu:0",
        rows: [[hotRows, numRows - hotRows]],
        byteLength: feedForward - hot,
        activationFrequency: 0.11,
        reason: "no room left on cuda:0",
        predictedSeconds: (feedForward - hot) / 7e10,
      },
    ];
  });
  const units: OffloadPlanUnit[] = [
    { id: "embedding", device: "cpu:0", byteLength: 563 * mib, reason: "one row a token: reading it from memory costs nothing" },
    ...layers.flat(),
    { id: "head", device: "cuda:0", byteLength: 822 * mib, reason: "read whole at every token", predictedSeconds: (822 * mib) / 9e11 },
  ];
  return {
    version: 1,
    model: "9d0c1f44ab3e",
    devices: {
      "cuda:0": { backend: "cuda", budgetBytes: 24 * gib, reserveBytes: 512 * mib, name: "NVIDIA GeForce RTX 4090" },
      "cpu:0": { backend: "cpu", threads: 16, budgetBytes: 58 * gib, name: "16 cores, DDR5-6000" },
    },
    units,
    summary: {
      name: "Llama 3.3 70B Instruct",
      architecture: "llama",
      quantisation: "q4_k",
      numLayers,
      contextLength: 131_072,
      weightBytes: 80 * (attention + feedForward) + (563 + 822) * mib,
    },
    settings: { contextLength: 8192, maxBatchTokens: 512, maxSequences: 1, keyCacheDType: "q8_0", valueCacheDType: "q8_0" },
    workload: { promptTokens: 512, outputTokens: 256, contextDepth: 0, batch: 1 },
    machine: { name: "rtx4090+ddr5-6000", source: "published figures" },
    solver: { name: "greedy", version: "0.1.0", status: "feasible", boundSeconds: 29.7, gap: 0.0042 },
    bytes: {
      "cuda:0": bytesOf(units, "cuda:0", { activations: 812 * mib, transfer: 9 * mib, graphs: 3 * mib, context: 420 * mib }),
      "cpu:0": bytesOf(units, "cpu:0", { activations: 96 * mib, staging: 2 * mib }),
    },
    predicted: { prefillSeconds: 5.21, secondsPerToken: 0.0962, workloadSeconds: 29.83 },
    comparison: comparisonOf({ plan: 1, "whole-layer": 0.62, "ffn-first": 0.81 }),
  };
}

/** A mixture of 256 experts in 61 layers, of an architecture without a graph, on two cards and a host. */
export function mixturePlan(): OffloadPlan {
  const layers = Array.from({ length: 61 }, (_, layer): OffloadPlanUnit[] => {
    const card = layer < 31 ? "cuda:0" : "cuda:1";
    const common: OffloadPlanUnit[] = [
      { id: `blk.${layer}.attention`, device: card, byteLength: 190 * mib + 36 * mib, kvCacheByteLength: 36 * mib },
    ];
    if (layer < 3) return [...common, { id: `blk.${layer}.feed-forward`, device: card, byteLength: 340 * mib }];
    const onCard = 24;
    const expert = 38 * mib;
    return [
      ...common,
      { id: `blk.${layer}.router`, device: card, byteLength: 7 * mib },
      { id: `blk.${layer}.shared-experts`, device: card, byteLength: 41 * mib },
      { id: `blk.${layer}.experts`, device: card, rows: [[0, onCard]], byteLength: onCard * expert, activationFrequency: 0.09 },
      {
        id: `blk.${layer}.experts`,
        device: "cpu:0",
        rows: [[onCard, 256 - onCard]],
        byteLength: (256 - onCard) * expert,
        activationFrequency: 0.025,
      },
    ];
  });
  const units: OffloadPlanUnit[] = [
    { id: "embedding", device: "cpu:0", byteLength: 980 * mib },
    ...layers.flat(),
    { id: "head", device: "cuda:1", byteLength: 980 * mib },
  ];
  return {
    version: 1,
    model: "77aa",
    devices: {
      "cuda:0": { backend: "cuda", budgetBytes: 48 * gib, name: "NVIDIA RTX A6000" },
      "cuda:1": { backend: "cuda", budgetBytes: 48 * gib, name: "NVIDIA RTX A6000" },
      "cpu:0": { backend: "cpu", threads: 64, budgetBytes: 768 * gib },
    },
    units,
    summary: {
      name: "DeepSeek-V3",
      architecture: "deepseek2",
      quantisation: "q4_k",
      numLayers: 61,
      contextLength: 163_840,
      weightBytes: units.reduce((sum, { byteLength = 0, kvCacheByteLength = 0 }) => sum + byteLength - kvCacheByteLength, 0),
    },
    settings: { contextLength: 32_768 },
    bytes: Object.fromEntries(["cuda:0", "cuda:1", "cpu:0"].map((id) => [id, bytesOf(units, id, { activations: 300 * mib })])),
    estimates: ["no graph of deepseek2 is known here, so activations are an upper bound over all of its layers."],
    predicted: { prefillSeconds: 21, secondsPerToken: 0.21 },
  };
}
