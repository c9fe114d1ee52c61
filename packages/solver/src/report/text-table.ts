/** Lines for terminals: aligned columns, wrapped sentences, bars. */

export interface Column {
  readonly title: string;
  readonly align: "left" | "right";
}

/** A header and the rows, two spaces between columns; columns that are empty throughout are left out. No trailing spaces. */
export function tableLines(columns: readonly Column[], rows: readonly (readonly string[])[]): string[] {
  const used = columns.flatMap(({ align }, index) => (rows.some((row) => row[index] !== "") ? [{ align, index }] : []));
  const all = [columns.map(({ title }) => title), ...rows];
  const widths = used.map(({ index }) => Math.max(...all.map((row) => visibleLength(row[index]!))));
  return all.map((row) =>
    used
      .map(({ align, index }, place) => {
        const cell = row[index]!;
        const padding = " ".repeat(widths[place]! - visibleLength(cell));
        return align === "left" ? cell + padding : padding + cell;
      })
      .join("  ")
      .trimEnd(),
  );
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: the escape that begins a colour
const colourCode = /\u001b\[[0-9;]*m/g;

/** Characters that a terminal shows of a text with colours. */
export function visibleLength(text: string): number {
  return [...text.replace(colourCode, "")].length;
}

/**
 * Breaks a text at single spaces so that no line is longer than `width`, if its words allow; later lines begin with `indent`. Runs of
 * spaces, at the beginning too, are kept.
 */
export function wrapLines(text: string, width: number, indent = ""): string[] {
  return packLines(text.split(/(?<=[^ ]) (?=[^ ])/), " ", width, indent);
}

/** Puts items into lines of at most `width`, breaking none of them; later lines begin with `indent`. */
export function packLines(items: readonly string[], separator: string, width: number, indent = ""): string[] {
  const lines: string[] = [];
  let line: string | undefined;
  for (const item of items) {
    if (line === undefined) line = item;
    else if (visibleLength(line) + separator.length + visibleLength(item) <= width) line += separator + item;
    else {
      lines.push(line);
      line = indent + item;
    }
  }
  return [...lines, line ?? ""];
}

/**
 * How many of `width` cells each part gets: in proportion, summing to `width` where the parts sum to `total`, and at least one for every
 * part above nothing while there are cells.
 */
export function barCells(parts: readonly number[], total: number, width: number): number[] {
  if (total <= 0) return parts.map(() => 0);
  const exact = parts.map((part) => (part / total) * width);
  const cells = exact.map((cell, index) => (parts[index]! > 0 ? Math.max(1, Math.floor(cell)) : 0));
  const wanted = Math.min(width, Math.round(exact.reduce((sum, cell) => sum + cell, 0)));
  const sum = () => cells.reduce((all, cell) => all + cell, 0);
  while (sum() !== wanted) {
    const step = sum() < wanted ? 1 : -1;
    // The part that is furthest from its due gets or gives the cell.
    const candidates = [...cells.keys()].filter((index) => parts[index]! > 0 && (step > 0 || cells[index]! > 1));
    if (candidates.length === 0) break;
    const due = (index: number) => (exact[index]! - cells[index]!) * step;
    const next = candidates.reduce((best, index) => (due(index) > due(best) ? index : best));
    cells[next]! += step;
  }
  return cells;
}
