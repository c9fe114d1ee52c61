import { InvalidRequestError, type ModelConfig } from "@thermocline/spec";

/** @throws InvalidRequestError for a model of embeddings, naming what is made for it. */
export function checkGeneratesText({ architecture, pooling }: Pick<ModelConfig, "architecture" | "pooling">): void {
  if (pooling === undefined) return;
  const problem = `is of the architecture ${architecture}, which makes vectors of texts and generates nothing`;
  throw new InvalidRequestError("model", architecture, problem, "use the command embed, or openEmbedder in a program");
}
