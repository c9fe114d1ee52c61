/** Searches over whole numbers where what holds for one holds for all smaller, or all larger ones. */

type Test = (value: number) => Promise<boolean>;

/** The largest multiple of `step` from `least` to `most`, or `most` itself, for which the test holds; undefined where it fails for `least`. */
export async function largestThat(least: number, most: number, holds: Test, step = 1): Promise<number | undefined> {
  if (least > most) return undefined;
  if (await holds(most)) return most;
  if (!(await holds(least))) return undefined;
  let good = Math.ceil(least / step) * step;
  if (good > least && (good >= most || !(await holds(good)))) return least;
  for (let bad = most; bad - good > step; ) {
    const middle = good + Math.max(1, Math.floor((bad - good) / step / 2)) * step;
    if (await holds(middle)) good = middle;
    else bad = middle;
  }
  return good;
}

/** The smallest `least + n · step`, or `most`, for which the test holds; undefined where it fails for `most`. */
export async function smallestThat(least: number, most: number, holds: Test, step = 1): Promise<number | undefined> {
  if (least > most || !(await holds(most))) return undefined;
  if (await holds(least)) return least;
  let good = most;
  for (let bad = least; good - bad > step; ) {
    const middle = bad + Math.max(1, Math.floor((good - bad) / step / 2)) * step;
    if (await holds(middle)) good = middle;
    else bad = middle;
  }
  return good;
}

/** A step that a search over so many bytes can afford: at most one part in 4096, a power of two. */
export function byteStepOf(bytes: number): number {
  return bytes < 4096 ? 1 : 2 ** Math.floor(Math.log2(bytes / 4096));
}
