const units = ["B", "KiB", "MiB", "GiB", "TiB"] as const;

/** "0 B", "312 B", "16.1 MiB": at most one decimal. */
export function formatBytes(byteLength: number): string {
  let value = byteLength;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`;
}
