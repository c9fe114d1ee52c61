/** Bytes, times, rates and shares as people read them. ASCII only. */

const byteUnits = ["B", "KiB", "MiB", "GiB", "TiB"];

/** "312 B", "1.50 KiB", "16.1 MiB": three significant digits or a little more. */
export function formatBytes(byteLength: number): string {
  let value = byteLength;
  let power = 0;
  // What would be rounded to 1024 of a unit is one of the next.
  while (value >= 1023.95 && power < byteUnits.length - 1) {
    value /= 1024;
    power++;
  }
  return `${power === 0 ? Math.round(value) : value.toFixed(value < 10 ? 2 : 1)} ${byteUnits[power]}`;
}

/** "2.50 s", "12.50 ms", "20.0 us". */
export function formatSeconds(seconds: number): string {
  if (seconds >= 1) return `${seconds.toFixed(2)} s`;
  return seconds >= 1e-3 ? `${(seconds * 1e3).toFixed(2)} ms` : `${(seconds * 1e6).toFixed(1)} us`;
}

/** "4,096". */
export function formatCount(count: number): string {
  return String(Math.round(count)).replace(/\B(?=(\d{3})+$)/g, ",");
}

/** Of tokens a second: "0.52", "8.41", "23.4", "1,235". */
export function formatRate(perSecond: number): string {
  if (perSecond >= 99.95) return formatCount(perSecond);
  return perSecond.toFixed(perSecond < 9.995 ? 2 : 1);
}

/** "38 %"; a share that is neither nothing nor all never reads as 0 % or 100 %. */
export function formatShare(share: number): string {
  const percent = Math.round(share * 100);
  if (percent === 0 && share > 0) return "<1 %";
  if (percent === 100 && share < 1) return ">99 %";
  return `${percent} %`;
}

/** "38 %", "12-38 %". */
export function formatShareRange(shares: readonly number[]): string {
  const [least, most] = [formatShare(Math.min(...shares)), formatShare(Math.max(...shares))];
  return least === most ? most : `${least.replace(" %", "")}-${most}`;
}

/** "1 token", "2 tokens". */
export function plural(count: number, noun: string): string {
  return `${formatCount(count)} ${noun}${count === 1 ? "" : "s"}`;
}

/** "a", "a and b", "a, b and c". */
export function listOf(words: readonly string[]): string {
  return words.length < 2 ? (words[0] ?? "") : `${words.slice(0, -1).join(", ")} and ${words.at(-1)}`;
}

/** Names come from files that strangers made: what a terminal or an XML parser acts upon becomes visible text. */
export function printable(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029\ud800-\udfff\ufffe\uffff]/gu, (control) => {
    const code = control.codePointAt(0)!.toString(16).padStart(2, "0");
    return `\\x${code}`;
  });
}
