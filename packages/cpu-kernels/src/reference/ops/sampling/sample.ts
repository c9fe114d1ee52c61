/** The choice of a token: the steps of `KernelSet.sample`, one file each, in double precision except where f32 is named. */
import { samplingColumns, uniformOf } from "@thermocline/spec";
import { floatsOf, integersOf, KernelFault } from "../../tensor-view.js";
import type { Kernel } from "../kernel.js";
import { candidatesOf } from "./candidates.js";
import { draw } from "./draw.js";
import { applyEdits } from "./edits.js";
import { keepLikely } from "./min-p.js";
import { keepUnsurprising, nextSurpriseLimit } from "./mirostat.js";
import { keepMostLikely } from "./top-k.js";
import { keepWithinSigmas } from "./top-n-sigma.js";
import { keepNucleus } from "./top-p.js";
import { keepTypical } from "./typical-p.js";
import { excludeTopChoices } from "./xtc.js";

type Parameters = Readonly<Record<(typeof samplingColumns)[number], number>>;

interface RowState {
  readonly parameters: Parameters;
  readonly seed: number;
  readonly drawNumber: number;
  readonly surpriseLimit: number;
}

interface Choice {
  readonly tokenId: number;
  /** For the row's next draw. */
  readonly surpriseLimit: number;
}

/** `logits` [V] f32 after the edits. */
function chooseToken(logits: Float32Array, { parameters, seed, drawNumber, surpriseLimit }: RowState): Choice {
  const { temperature, mirostatTau, mirostatEta } = parameters;
  if (temperature === 0) return { tokenId: indexOfLargest(logits), surpriseLimit };
  let candidates = candidatesOf(logits);
  if (!Number.isFinite(candidates.logits[0]!)) return { tokenId: candidates.ids[0]!, surpriseLimit };
  const uniform = uniformOf(seed, drawNumber);

  if (mirostatTau > 0) {
    candidates = keepUnsurprising(candidates, temperature, surpriseLimit);
    const { place, share } = draw(candidates, temperature, uniform);
    return { tokenId: candidates.ids[place]!, surpriseLimit: nextSurpriseLimit(surpriseLimit, share, mirostatTau, mirostatEta) };
  }
  candidates = keepWithinSigmas(candidates, parameters.topNSigma);
  candidates = keepMostLikely(candidates, parameters.topK);
  candidates = keepTypical(candidates, parameters.typicalP);
  candidates = keepNucleus(candidates, parameters.topP);
  candidates = keepLikely(candidates, parameters.minP);
  if (parameters.xtcProbability > uniformOf(seed, drawNumber, 1)) candidates = excludeTopChoices(candidates, parameters.xtcThreshold);
  return { tokenId: candidates.ids[draw(candidates, temperature, uniform).place]!, surpriseLimit };
}

/** The lowest of equals. */
function indexOfLargest(values: Float32Array): number {
  let best = 0;
  for (let index = 1; index < values.length; index++) if (values[index]! > values[best]!) best = index;
  return best;
}

/** A NaN among the edited logits is a fault. Surprise limits are stored as f32. */
export const sample: Kernel<"sample"> = function* ({ tokenIds, logits, params, randomState, editIds, editValues, surpriseLimits }) {
  const [numRows, vocabSize] = logits.shape as [number, number];
  const numEdits = editIds.shape[1]!;
  const [allLogits, allParams, allEditValues, limits] = [
    floatsOf(logits),
    floatsOf(params),
    floatsOf(editValues),
    floatsOf(surpriseLimits),
  ];
  const [states, allEditIds, target] = [integersOf(randomState), integersOf(editIds), integersOf(tokenIds)];
  for (let row = 0; row < numRows; row++) {
    const rowLogits = allLogits.slice(row * logits.rowStride, row * logits.rowStride + vocabSize);
    if (vocabSize === 0) throw new KernelFault("logits has no columns to choose from");
    const firstEdit = row * editIds.rowStride;
    const firstEditValue = row * editValues.rowStride;
    applyEdits(
      rowLogits,
      allEditIds.subarray(firstEdit, firstEdit + numEdits),
      allEditValues.subarray(firstEditValue, firstEditValue + 2 * numEdits),
    );
    const notANumber = rowLogits.findIndex(Number.isNaN);
    if (notANumber >= 0) throw new KernelFault(`logits[${row}, ${notANumber}] is NaN`);
    const parameters = Object.fromEntries(samplingColumns.map((name, column) => [name, allParams[row * params.rowStride + column]!]));
    const choice = chooseToken(rowLogits, {
      parameters: parameters as Parameters,
      seed: states[row * randomState.rowStride]!,
      drawNumber: states[row * randomState.rowStride + 1]!,
      surpriseLimit: limits[row * surpriseLimits.rowStride]!,
    });
    target[row * tokenIds.rowStride] = choice.tokenId;
    limits[row * surpriseLimits.rowStride] = choice.surpriseLimit;
    yield;
  }
};
