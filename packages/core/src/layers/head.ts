/** From the last hidden state to token ids: final norm, output projection, sampling, log-probabilities. */
import type { ModelConfig, Tensor } from "@thermocline/spec";
import type { GraphDraft } from "../graph/graph-draft.js";
import type { GraphVariant } from "../graph/model-graph.js";
import { draftNorm } from "./residual.js";

export const headUnit = "head";

export interface HeadOptions {
  /** "logprobs": also the log-probabilities of the sampled and the most likely tokens; "logits": these alone, and nothing is sampled. */
  readonly variant: GraphVariant;
}

/** x [numTokens, hiddenSize] → sampledTokenIds [numOutputRows], or logits [numOutputRows, vocabSize]. Only the rows in `outputRows` reach the
 *  projection. */
export function draftHead(graph: GraphDraft, config: ModelConfig, residual: Tensor, options: HeadOptions): void {
  const device = graph.deviceOf(headUnit);
  graph.beginUnit(headUnit);
  const { hiddenSize, vocabSize, logitSoftcap } = config;
  const ops = graph.on(device);
  const x = graph.moveTo(residual, device, "residual");
  const rows = graph.activation(device, ["numOutputRows", hiddenSize]);
  ops.gatherRows(rows, x, graph.stepTensor(device, "outputRows"));
  const normed = draftNorm(graph, config, headUnit, "output_norm.weight", rows);
  // Models with tied embeddings have no output matrix of their own.
  const projection = graph.hasTensor("output.weight") ? "output.weight" : "token_embd.weight";
  const logits = graph.linear(device, normed, graph.weight(device, headUnit, projection, [vocabSize, hiddenSize]));
  if (logitSoftcap !== undefined) ops.softcap(logits, logits, logitSoftcap);
  if (options.variant === "logits") {
    graph.giveLogits(logits);
    return;
  }

  const sampledTokenIds = graph.stepTensor(device, "sampledTokenIds");
  ops.sample(sampledTokenIds, logits, {
    params: graph.stepTensor(device, "samplingParams"),
    randomState: graph.stepTensor(device, "randomState"),
    editIds: graph.stepTensor(device, "editIds"),
    editValues: graph.stepTensor(device, "editValues"),
    surpriseLimits: graph.stepTensor(device, "surpriseLimits"),
    ...graph.sampleWorkspace(device, "numOutputRows", vocabSize),
  });
  if (options.variant === "logprobs") {
    ops.topLogprobs(graph.stepTensor(device, "logprobIds"), graph.stepTensor(device, "logprobs"), logits, sampledTokenIds);
  }
}
