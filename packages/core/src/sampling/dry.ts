/**
 * DRY ("don't repeat yourself", p-e-w 2024): where the end of the text has occurred before, the token that followed there would lengthen a
 * repetition. It is penalised by multiplier · base ^ (n - allowedLength), n the tokens of the longest such repetition that it would
 * continue, for n from allowedLength on. A repetition ends before a sequence breaker.
 */
import type { SamplingParams } from "@thermocline/spec";
import type { LogitEdits } from "./logit-edits.js";
import type { LogitRule, TokenHistory } from "./logit-rule.js";

type DryParams = Pick<SamplingParams, "dryMultiplier" | "dryBase" | "dryAllowedLength" | "dryLastN">;

export class Dry implements LogitRule {
  /** It takes what other rules leave: where its tokens are more, those with the largest penalties stay, the lowest ids first on ties. */
  readonly maxEdits = 0;
  /** Tokens of the sequence that were looked at for breakers, and the index of the last breaker among them. */
  #numScanned = 0;
  #lastBreaker = -1;

  /** One sequence's: tokens that were seen are not looked at again. */
  constructor(
    private readonly params: DryParams,
    private readonly isBreaker: (tokenId: number) => boolean,
  ) {}

  static isOn({ dryMultiplier, dryLastN }: DryParams): boolean {
    return dryMultiplier > 0 && dryLastN !== 0;
  }

  apply({ tokenIds }: TokenHistory, edits: LogitEdits): void {
    for (; this.#numScanned < tokenIds.length; this.#numScanned++) {
      if (this.isBreaker(tokenIds[this.#numScanned]!)) this.#lastBreaker = this.#numScanned;
    }
    const longestAllowed = tokenIds.length - 1 - this.#lastBreaker;
    const { dryMultiplier, dryBase, dryAllowedLength, dryLastN } = this.params;
    if (longestAllowed < Math.max(dryAllowedLength, 1)) return;
    const first = dryLastN < 0 ? 0 : Math.max(0, tokenIds.length - dryLastN);

    const penalties: [tokenId: number, penalty: number][] = [];
    for (const [tokenId, length] of repetitionsByNextToken(tokenIds, first)) {
      const counted = Math.min(length, longestAllowed);
      if (counted >= dryAllowedLength) penalties.push([tokenId, dryMultiplier * dryBase ** (counted - dryAllowedLength)]);
    }
    let room = edits.capacity - edits.size;
    const unedited = penalties.filter(([tokenId]) => !edits.has(tokenId)).length;
    if (unedited > room) penalties.sort((a, b) => b[1] - a[1] || a[0] - b[0]);
    for (const [tokenId, penalty] of penalties) {
      if (!edits.has(tokenId) && room-- <= 0) continue;
      edits.bias(tokenId, -penalty);
    }
  }
}

/**
 * For each token that followed an earlier occurrence of the end of tokenIds[first …], the length of the longest such occurrence: Z-function
 * of the reversed tokens, O(n). Occurrences may overlap the end.
 */
function repetitionsByNextToken(tokenIds: readonly number[], first: number): ReadonlyMap<number, number> {
  const last = tokenIds.length - 1;
  const count = tokenIds.length - first;
  const reversed = (index: number) => tokenIds[last - index]!;
  const lengths = new Int32Array(count);
  const longest = new Map<number, number>();
  let start = 0;
  let end = 0;
  for (let index = 1; index < count; index++) {
    let length = index < end ? Math.min(end - index, lengths[index - start]!) : 0;
    while (index + length < count && reversed(length) === reversed(index + length)) length++;
    lengths[index] = length;
    if (index + length > end) {
      start = index;
      end = index + length;
    }
    if (length === 0) continue;
    const next = reversed(index - 1);
    if (length > (longest.get(next) ?? 0)) longest.set(next, length);
  }
  return longest;
}
