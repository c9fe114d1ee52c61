/** Headers like those of published models of 70 and 671 thousand million parameters, vocabulary included. */
import type { GgufValue } from "@thermocline/loader-gguf";
import type { DType } from "@thermocline/spec";
import { f32, u32 } from "./random-architectures.js";
import type { ModelContent } from "./sparse-model.js";

type Tensors = { readonly name: string; readonly dtype: DType; readonly shape: readonly number[] }[];

/** Pieces and merges of byte-level BPE, with as many characters as real ones have on average. */
function vocabularyOf(pre: string, numTokens: number, numMerges: number): [string, GgufValue][] {
  const piece = (id: number) => `Ġ${(id * 7919).toString(36)}é`;
  return [
    ["tokenizer.ggml.model", "gpt2"],
    ["tokenizer.ggml.pre", pre],
    ["tokenizer.ggml.tokens", Array.from({ length: numTokens }, (_, id) => (id === numTokens - 1 ? "<|eot_id|>" : piece(id)))],
    ["tokenizer.ggml.token_type", new Int32Array(numTokens).fill(1)],
    ["tokenizer.ggml.merges", Array.from({ length: numMerges }, (_, id) => `Ġ ${(id * 104_729).toString(36)}`)],
    ["tokenizer.ggml.bos_token_id", u32(0)],
    ["tokenizer.ggml.eos_token_id", u32(1)],
  ];
}

const keysUnder = (architecture: string, keys: Readonly<Record<string, GgufValue>>): [string, GgufValue][] => [
  ["general.architecture", architecture],
  ["general.name", `a large ${architecture}`],
  ["general.file_type", u32(15)],
  ...Object.entries(keys).map(([key, value]): [string, GgufValue] => [`${architecture}.${key}`, value]),
];

/** Llama 3 70B in Q4_K_M: 80 layers, 724 tensors, 128,256 tokens. */
export function llama70b(): ModelContent {
  const [numLayers, hiddenSize, neurons, kvRows, vocabSize] = [80, 8192, 28_672, 1024, 128_256];
  const tensors: Tensors = [
    { name: "token_embd.weight", dtype: "q4_k", shape: [vocabSize, hiddenSize] },
    { name: "rope_freqs.weight", dtype: "f32", shape: [64] },
    { name: "output_norm.weight", dtype: "f32", shape: [hiddenSize] },
    { name: "output.weight", dtype: "q6_k", shape: [vocabSize, hiddenSize] },
  ];
  for (let layer = 0; layer < numLayers; layer++) {
    // The mixture gives the first eighth, the last one and every third layer between more bits.
    const more: DType = layer < numLayers / 8 || layer >= (7 * numLayers) / 8 || layer % 3 === 2 ? "q6_k" : "q4_k";
    const add = (name: string, dtype: DType, ...shape: number[]) => tensors.push({ name: `blk.${layer}.${name}.weight`, dtype, shape });
    add("attn_norm", "f32", hiddenSize);
    add("attn_q", "q4_k", hiddenSize, hiddenSize);
    add("attn_k", "q4_k", kvRows, hiddenSize);
    add("attn_v", more, kvRows, hiddenSize);
    add("attn_output", "q4_k", hiddenSize, hiddenSize);
    add("ffn_norm", "f32", hiddenSize);
    add("ffn_gate", "q4_k", neurons, hiddenSize);
    add("ffn_up", "q4_k", neurons, hiddenSize);
    add("ffn_down", more, hiddenSize, neurons);
  }
  const keys = {
    block_count: u32(numLayers),
    context_length: u32(131_072),
    embedding_length: u32(hiddenSize),
    feed_forward_length: u32(neurons),
    "attention.head_count": u32(64),
    "attention.head_count_kv": u32(8),
    "attention.layer_norm_rms_epsilon": f32(1e-5),
    "rope.freq_base": f32(500_000),
    "rope.dimension_count": u32(128),
    vocab_size: u32(vocabSize),
  };
  return { metadata: [...keysUnder("llama", keys), ...vocabularyOf("llama-bpe", vocabSize, 280_147)], tensors };
}

/** DeepSeek V3 671B: 61 layers, 256 experts of which a token uses 8, and a shared one, latent attention, 129,280 tokens. */
export function deepseek671b(): ModelContent {
  const [numLayers, hiddenSize, vocabSize, numHeads] = [61, 7168, 129_280, 128];
  const [queryRank, latentRank, ropeDims, headDim] = [1536, 512, 64, 128];
  const [numDense, denseNeurons, numExperts, expertNeurons] = [3, 18_432, 256, 2048];
  const tensors: Tensors = [
    { name: "token_embd.weight", dtype: "q4_k", shape: [vocabSize, hiddenSize] },
    { name: "output_norm.weight", dtype: "f32", shape: [hiddenSize] },
    { name: "output.weight", dtype: "q6_k", shape: [vocabSize, hiddenSize] },
  ];
  for (let layer = 0; layer < numLayers; layer++) {
    const add = (name: string, dtype: DType, ...shape: number[]) => tensors.push({ name: `blk.${layer}.${name}`, dtype, shape });
    add("attn_norm.weight", "f32", hiddenSize);
    add("attn_q_a.weight", "q4_k", queryRank, hiddenSize);
    add("attn_q_a_norm.weight", "f32", queryRank);
    add("attn_q_b.weight", "q4_k", numHeads * (headDim + ropeDims), queryRank);
    add("attn_kv_a_mqa.weight", "q8_0", latentRank + ropeDims, hiddenSize);
    add("attn_kv_a_norm.weight", "f32", latentRank);
    add("attn_k_b.weight", "q8_0", numHeads, latentRank, headDim);
    add("attn_v_b.weight", "q8_0", numHeads, headDim, latentRank);
    add("attn_output.weight", "q4_k", hiddenSize, numHeads * headDim);
    add("ffn_norm.weight", "f32", hiddenSize);
    if (layer < numDense) {
      for (const name of ["ffn_gate", "ffn_up"]) add(`${name}.weight`, "q4_k", denseNeurons, hiddenSize);
      add("ffn_down.weight", "q6_k", hiddenSize, denseNeurons);
      continue;
    }
    add("ffn_gate_inp.weight", "f32", numExperts, hiddenSize);
    add("exp_probs_b.bias", "f32", numExperts);
    for (const name of ["ffn_gate", "ffn_up"]) {
      add(`${name}_exps.weight`, "q4_k", numExperts, expertNeurons, hiddenSize);
      add(`${name}_shexp.weight`, "q4_k", expertNeurons, hiddenSize);
    }
    add("ffn_down_exps.weight", "q6_k", numExperts, hiddenSize, expertNeurons);
    add("ffn_down_shexp.weight", "q6_k", hiddenSize, expertNeurons);
  }
  const keys = {
    block_count: u32(numLayers),
    context_length: u32(163_840),
    embedding_length: u32(hiddenSize),
    feed_forward_length: u32(denseNeurons),
    leading_dense_block_count: u32(numDense),
    "attention.head_count": u32(numHeads),
    "attention.head_count_kv": u32(1),
    "attention.key_length": u32(latentRank + ropeDims),
    "attention.value_length": u32(latentRank),
    "attention.key_length_mla": u32(headDim + ropeDims),
    "attention.value_length_mla": u32(headDim),
    "attention.q_lora_rank": u32(queryRank),
    "attention.kv_lora_rank": u32(latentRank),
    "attention.layer_norm_rms_epsilon": f32(1e-6),
    expert_count: u32(numExperts),
    expert_used_count: u32(8),
    expert_shared_count: u32(1),
    expert_feed_forward_length: u32(expertNeurons),
    expert_weights_scale: f32(2.5),
    "rope.dimension_count": u32(ropeDims),
    vocab_size: u32(vocabSize),
  };
  return { metadata: [...keysUnder("deepseek2", keys), ...vocabularyOf("deepseek-v3", vocabSize, 127_741)], tensors };
}
