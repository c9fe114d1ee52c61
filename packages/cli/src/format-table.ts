import { escapeControls } from "./terminal-text.js";

/**
 * Rows of equal length as lines with aligned columns, two spaces apart; control characters in cells are escaped. `right`: columns whose
 * text ends at the right edge.
 */
export function formatTable(cells: readonly (readonly string[])[], right: ReadonlySet<number> = new Set()): string {
  const rows = cells.map((row) => row.map(escapeControls));
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  const pad = (text: string, column: number) => (right.has(column) ? text.padStart(widths[column]!) : text.padEnd(widths[column]!));
  return rows.map((row) => row.map(pad).join("  ").trimEnd()).join("\n");
}
