/** The rules of `KernelSet.sample` over plain lists, with the distance of every decision from going otherwise. */
import { type samplingColumns, uniformOf } from "@thermocline/spec";

export type RowParameters = Readonly<Record<(typeof samplingColumns)[number], number>>;

export interface RowInputs {
  /** [V] f32. */
  readonly logits: Float32Array;
  readonly parameters: RowParameters;
  readonly seed: number;
  readonly draw: number;
  readonly editIds: Int32Array;
  readonly editValues: Float32Array;
  readonly surpriseLimit: number;
}

export interface Choice {
  readonly id: number;
  readonly surpriseLimit: number;
  /** Relative to the probabilities, or in logits, nats and bits: below 1e-9 another rounding in double precision might choose otherwise. */
  readonly margin: number;
}

interface Candidate {
  readonly id: number;
  readonly logit: number;
}

type Step = (candidates: readonly Candidate[], narrow: (distance: number) => void) => readonly Candidate[];

function softmax(candidates: readonly Candidate[], temperature = 1): number[] {
  const exponentials = candidates.map(({ logit }) => Math.exp((logit - candidates[0]!.logit) / temperature));
  const total = exponentials.reduce((sum, value) => sum + value, 0);
  return exponentials.map((value) => value / total);
}

function edited({ logits, editIds, editValues }: RowInputs): Candidate[] {
  const end = editIds.indexOf(-1);
  const edits = new Map(Array.from(end < 0 ? editIds : editIds.subarray(0, end), (id, index) => [id, index]));
  return Array.from(logits, (logit, id) => {
    const index = edits.get(id);
    if (index === undefined) return { id, logit };
    const [penalty, bias] = [editValues[2 * index]!, editValues[2 * index + 1]!];
    return { id, logit: Math.fround(Math.fround(logit > 0 ? logit / penalty : logit * penalty) + bias) };
  });
}

/** Those that `isKept` keeps, the first in any case; `distanceOf` tells how near a candidate is to the other side. */
const filterBy =
  (isKept: (candidate: Candidate, place: number) => boolean, distanceOf: (candidate: Candidate, place: number) => number): Step =>
  (candidates, narrow) => {
    for (const [place, candidate] of candidates.entries()) if (place > 0) narrow(Math.abs(distanceOf(candidate, place)));
    return candidates.filter((candidate, place) => place === 0 || isKept(candidate, place));
  };

const withinSigmas =
  (numSigmas: number): Step =>
  (candidates, narrow) => {
    const finite = candidates.map(({ logit }) => logit).filter(Number.isFinite);
    const mean = finite.reduce((sum, logit) => sum + logit, 0) / finite.length;
    const sigma = Math.sqrt(finite.reduce((sum, logit) => sum + (logit - mean) ** 2, 0) / finite.length);
    const lowest = candidates[0]!.logit - numSigmas * sigma;
    // Equal logits stay whatever the rounding of σ: it is 0 or positive.
    const isBest = ({ logit }: Candidate) => logit === candidates[0]!.logit;
    return filterBy(
      (candidate) => candidate.logit >= lowest || isBest(candidate),
      (candidate) => (isBest(candidate) ? 1 : candidate.logit - lowest),
    )(candidates, narrow);
  };

const typical =
  (mass: number): Step =>
  (candidates, narrow) => {
    const probabilities = softmax(candidates);
    const entropy = probabilities.reduce((sum, p) => (p === 0 ? sum : sum - p * Math.log(p)), 0);
    const distance = (place: number) => Math.abs(-Math.log(probabilities[place]!) - entropy);
    const order = candidates.map((_, place) => place).sort((a, b) => distance(a) - distance(b) || a - b);
    const sums: number[] = [];
    for (const place of order) sums.push((sums.at(-1) ?? 0) + probabilities[place]!);
    for (const sum of sums.slice(0, -1)) narrow(Math.abs(sum - mass));
    const crossing = sums.findIndex((sum) => sum > mass);
    const last = crossing < 0 ? order.length - 1 : crossing;
    // What changes places with the last one that stays changes what is kept.
    for (const neighbour of [last - 1, last + 1]) {
      const [kept, other] = [order[last]!, order[neighbour]];
      if (other !== undefined && candidates[kept]!.logit !== candidates[other]!.logit) narrow(Math.abs(distance(other) - distance(kept)));
    }
    const kept = new Set(order.slice(0, last + 1));
    return candidates.filter((_, place) => kept.has(place));
  };

const nucleus =
  (mass: number): Step =>
  (candidates, narrow) => {
    const kept: Candidate[] = [];
    let sum = 0;
    for (const [place, p] of softmax(candidates).entries()) {
      if (kept.length > 0 && sum >= mass) break;
      kept.push(candidates[place]!);
      sum += p;
      if (kept.length < candidates.length) narrow(Math.abs(sum - mass));
    }
    return kept;
  };

const likely =
  (share: number): Step =>
  (candidates, narrow) => {
    const best = candidates[0]!.logit;
    const shareOf = ({ logit }: Candidate) => Math.exp(logit - best);
    // A share of exactly 1 is exact in every rounding.
    return filterBy(
      (candidate) => shareOf(candidate) >= share,
      (candidate) => (candidate.logit === best ? 1 : shareOf(candidate) - share),
    )(candidates, narrow);
  };

const withoutTopChoices =
  (threshold: number): Step =>
  (candidates, narrow) => {
    const probabilities = softmax(candidates);
    // Every p is at least 0, whatever the rounding.
    if (threshold > 0) for (const p of probabilities) narrow(Math.abs(p - threshold));
    return candidates.slice(Math.max(0, probabilities.filter((p) => p >= threshold).length - 1));
  };

const unsurprising =
  (surpriseLimit: number, temperature: number): Step =>
  (candidates, narrow) => {
    const surprises = softmax(candidates, temperature).map((p) => -Math.log2(p));
    return filterBy(
      (_, place) => surprises[place]! <= surpriseLimit,
      (_, place) => surprises[place]! - surpriseLimit,
    )(candidates, narrow);
  };

function stepsOf({ parameters, seed, draw, surpriseLimit }: RowInputs): Step[] {
  const { temperature, topK, typicalP, topP, minP, topNSigma, xtcProbability, xtcThreshold, mirostatTau } = parameters;
  if (mirostatTau > 0) return [unsurprising(surpriseLimit, temperature)];
  return [
    ...(topNSigma > 0 ? [withinSigmas(topNSigma)] : []),
    ...(topK > 0 ? [(candidates: readonly Candidate[]) => candidates.slice(0, topK)] : []),
    ...(typicalP < 1 ? [typical(typicalP)] : []),
    ...(topP < 1 ? [nucleus(topP)] : []),
    ...(minP > 0 ? [likely(minP)] : []),
    ...(xtcProbability > uniformOf(seed, draw, 1) ? [withoutTopChoices(xtcThreshold)] : []),
  ];
}

/** The token of one row and the surprise limit that it leaves behind. */
export function chooseExactly(row: RowInputs): Choice {
  const { temperature, mirostatTau, mirostatEta } = row.parameters;
  let margin = 1;
  const narrow = (distance: number) => {
    margin = Math.min(margin, distance);
  };
  const unchanged = row.surpriseLimit;
  let candidates: readonly Candidate[] = edited(row).sort((a, b) => b.logit - a.logit || a.id - b.id);
  const first = candidates[0]!;
  if (temperature === 0 || !Number.isFinite(first.logit)) return { id: first.id, surpriseLimit: unchanged, margin };
  for (const step of stepsOf(row)) candidates = step(candidates, narrow);
  const probabilities = softmax(candidates, temperature);
  const uniform = uniformOf(row.seed, row.draw);
  let running = 0;
  let place = -1;
  for (const [at, p] of probabilities.entries()) {
    running += p;
    // The whole is reached by the last one, whatever the rounding.
    if (at < probabilities.length - 1) narrow(Math.abs(running - uniform));
    if (place < 0 && running > uniform) place = at;
  }
  if (place < 0) place = candidates.length - 1;
  const surprise = -Math.log2(probabilities[place]!);
  const surpriseLimit = mirostatTau > 0 ? unchanged - mirostatEta * (surprise - mirostatTau) : unchanged;
  return { id: candidates[place]!.id, surpriseLimit, margin };
}
