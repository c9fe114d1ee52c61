/** What a file is, for plans and people. */
import type { DType, ModelSource, ModelSummary } from "@thermocline/spec";

/** Names of `general.file_type`, by ggml's numbers. */
const fileTypes: Readonly<Record<number, string>> = {
  ...{ 0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 7: "Q8_0", 8: "Q5_0", 9: "Q5_1", 10: "Q2_K", 11: "Q3_K_S", 12: "Q3_K_M", 13: "Q3_K_L" },
  ...{ 14: "Q4_K_S", 15: "Q4_K_M", 16: "Q5_K_S", 17: "Q5_K_M", 18: "Q6_K", 19: "IQ2_XXS", 20: "IQ2_XS", 21: "Q2_K_S", 22: "IQ3_XS" },
  ...{ 23: "IQ3_XXS", 24: "IQ1_S", 25: "IQ4_NL", 26: "IQ3_S", 27: "IQ3_M", 28: "IQ2_S", 29: "IQ2_M", 30: "IQ4_XS", 31: "IQ1_M" },
  ...{ 32: "BF16", 36: "TQ1_0", 37: "TQ2_0", 38: "MXFP4_MOE" },
};

export function summarizeModel(source: ModelSource, sizes: Pick<ModelSummary, "numLayers" | "contextLength">): ModelSummary {
  const { metadata } = source;
  const architecture = String(metadata.get("general.architecture"));
  const bytesByDType = new Map<DType, number>();
  let weightBytes = 0;
  for (const { dtype, range } of source.tensors.values()) {
    bytesByDType.set(dtype, (bytesByDType.get(dtype) ?? 0) + range.byteLength);
    weightBytes += range.byteLength;
  }
  const [mostBytes] = [...bytesByDType].sort(([, a], [, b]) => b - a);
  const fileType = metadata.get("general.file_type");
  const named = typeof fileType === "number" ? fileTypes[fileType] : undefined;
  return {
    identity: source.identity,
    name: String(metadata.get("general.name") ?? architecture),
    architecture,
    quantisation: named ?? mostBytes?.[0] ?? "none",
    numLayers: sizes.numLayers,
    contextLength: sizes.contextLength,
    weightBytes,
  };
}
