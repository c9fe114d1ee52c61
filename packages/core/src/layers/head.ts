/** From the last hidden state to token ids: final norm, output projection, sampling, log-probabilities. */
import type { ModelConfig, Tensor } from "@thermocline/spec";
import type { GraphDraft } from "../graph/graph-draft.js";

export const headUnit = "head";

export interface HeadOptions {
  /** Also compute the log-probabilities of the sampled and the most likely tokens. */
  readonly withLogprobs: boolean;
}

/** x [numTokens, hiddenSize] → sampledTokenIds [numOutputRows]; only the rows in `outputRows` reach the projection. */
export function draftHead(graph: GraphDraft, config: ModelConfig, residual: Tensor, options: HeadOptions): void {
  const device = graph.deviceOf(headUnit);
  const { hiddenSize, vocabSize, normEps } = config;
  const ops = graph.on(device);
  const x = graph.moveTo(residual, device, "residual");
  const rows = graph.activation(device, ["numOutputRows", hiddenSize]);
  ops.gatherRows(rows, x, graph.stepTensor(device, "outputRows"));
  const normed = graph.activation(device, ["numOutputRows", hiddenSize]);
  ops.rmsNorm(normed, rows, graph.weight(device, headUnit, "output_norm.weight", [hiddenSize]), normEps);
  // Models with tied embeddings have no output matrix of their own.
  const projection = graph.hasTensor("output.weight") ? "output.weight" : "token_embd.weight";
  const logits = graph.linear(device, normed, graph.weight(device, headUnit, projection, [vocabSize, hiddenSize]));

  const sampledTokenIds = graph.stepTensor(device, "sampledTokenIds");
  const workspace = graph.workspace(device, "sample", "f32", "numOutputRows", vocabSize);
  ops.sample(sampledTokenIds, logits, {
    params: graph.stepTensor(device, "samplingParams"),
    randomState: graph.stepTensor(device, "randomState"),
    editIds: graph.stepTensor(device, "editIds"),
    editValues: graph.stepTensor(device, "editValues"),
    surpriseLimits: graph.stepTensor(device, "surpriseLimits"),
    ...(workspace === undefined ? {} : { workspace }),
  });
  if (options.withLogprobs) {
    ops.topLogprobs(graph.stepTensor(device, "logprobIds"), graph.stepTensor(device, "logprobs"), logits, sampledTokenIds);
  }
}
