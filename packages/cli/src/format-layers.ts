/** "layers 0-2, 5", whatever their order. */
export function formatLayers(layers: readonly number[]): string {
  const sorted = [...layers].sort((a, b) => a - b);
  const ranges: string[] = [];
  for (let from = 0; from < sorted.length; ) {
    let to = from;
    while (sorted[to + 1] === sorted[to]! + 1) to++;
    ranges.push(to === from ? `${sorted[from]}` : `${sorted[from]}-${sorted[to]}`);
    from = to + 1;
  }
  return `${sorted.length === 1 ? "layer" : "layers"} ${ranges.join(", ")}`;
}
