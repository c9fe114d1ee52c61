/** The changes of one row's logits that precede sampling, gathered from all rules: one entry a token, its penalty and its bias. */

interface LogitEdit {
  penalty: number;
  bias: number;
}

const largestFloat32 = (2 - 2 ** -23) * 2 ** 127;
const withinFloat32 = (value: number) => Math.max(-largestFloat32, Math.min(value, largestFloat32));
/** Smaller ones lose bits, and then become 0, which is no penalty. */
const smallestPenalty = 2 ** -126;

export class LogitEdits {
  readonly #edits = new Map<number, LogitEdit>();

  /** `capacity`: tokens that a row has room for. */
  constructor(readonly capacity: number) {}

  get size(): number {
    return this.#edits.size;
  }

  has(tokenId: number): boolean {
    return this.#edits.has(tokenId);
  }

  clear(): void {
    this.#edits.clear();
  }

  /** Divides a positive logit and multiplies a negative one. */
  penalise(tokenId: number, penalty: number): void {
    this.#editOf(tokenId).penalty *= penalty;
  }

  /** Adds to the logit. Sums stay within float32: they forbid or force nothing. */
  bias(tokenId: number, bias: number): void {
    const edit = this.#editOf(tokenId);
    if (edit.bias !== Number.NEGATIVE_INFINITY) edit.bias = withinFloat32(edit.bias + withinFloat32(bias));
  }

  /** The token is not sampled, whatever is added to its logit. */
  ban(tokenId: number): void {
    this.#editOf(tokenId).bias = Number.NEGATIVE_INFINITY;
  }

  #editOf(tokenId: number): LogitEdit {
    let edit = this.#edits.get(tokenId);
    if (edit === undefined) {
      edit = { penalty: 1, bias: 0 };
      this.#edits.set(tokenId, edit);
    }
    return edit;
  }

  /** Writes the entries as the `sample` op takes them: ids [capacity], where -1 ends the list, and values [2 · capacity]. */
  writeTo(ids: Int32Array, values: Float32Array): void {
    let index = 0;
    for (const [tokenId, { penalty, bias }] of this.#edits) {
      ids[index] = tokenId;
      values[2 * index] = Math.max(smallestPenalty, Math.min(penalty, largestFloat32));
      values[2 * index + 1] = bias;
      index++;
    }
    if (index < ids.length) ids[index] = -1;
  }
}
