/** Sizes as people write them, and devices' shares of them. */

const unitBytes = {
  B: 1,
  kB: 1e3,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
  KiB: 2 ** 10,
  MiB: 2 ** 20,
  GiB: 2 ** 30,
  TiB: 2 ** 40,
} as const;

export const byteSizeForm = "a size with its unit, such as 8GiB, 24GB or 512MiB";

/** Whole bytes, rounded down: "8GiB", "1.5 GB". Undefined for anything else; a number without a unit is nothing that could be guessed. */
export function parseByteSize(text: string): number | undefined {
  const [, number, unit] = /^(\d+(?:\.\d+)?) ?([kKMGT]?i?B)$/.exec(text.trim()) ?? [];
  if (number === undefined || unit === undefined || !Object.hasOwn(unitBytes, unit)) return undefined;
  const bytes = Math.floor(Number(number) * unitBytes[unit as keyof typeof unitBytes]);
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}

/** A size that a flag takes and that reads back to at least as many bytes: "2 GiB" as "2GiB", else in MiB rounded up. */
export function writeByteSize(byteLength: number): string {
  const exact = (["TiB", "GiB", "MiB"] as const).find((unit) => byteLength >= unitBytes[unit] && byteLength % unitBytes[unit] === 0);
  if (exact !== undefined) return `${byteLength / unitBytes[exact]}${exact}`;
  return byteLength < unitBytes.MiB ? `${Math.ceil(byteLength)}B` : `${Math.ceil(byteLength / unitBytes.MiB)}MiB`;
}
