/** The little SVG that pictures are made of, as escaped text. */
import { printable } from "../quantities.js";

const entities: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };

export function escapeXml(text: string): string {
  return printable(text).replace(/[&<>"']/g, (character) => entities[character]!);
}

/** Pixels with at most two decimals. */
export function px(value: number): string {
  return String(Math.round(value * 100) / 100);
}

export interface Box {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

/** `look` are further attributes, written as they are. */
export function rectangle({ x, y, width, height }: Box, look: string): string {
  return `<rect x="${px(x)}" y="${px(y)}" width="${px(width)}" height="${px(height)}" ${look}/>`;
}

export function label(x: number, y: number, text: string, classes: string, anchor: "start" | "middle" | "end" = "start"): string {
  const anchored = anchor === "start" ? "" : ` text-anchor="${anchor}"`;
  return `<text x="${px(x)}" y="${px(y)}" class="${classes}"${anchored}>${escapeXml(text)}</text>`;
}

/** Shapes that show `tooltip` under the pointer. */
export function group(tooltip: string, shapes: string): string {
  return `<g><title>${escapeXml(tooltip)}</title>${shapes}</g>`;
}

/** Cut to so many characters. */
export function shorten(text: string, length: number): string {
  const characters = [...text];
  return characters.length <= length
    ? text
    : `${characters
        .slice(0, length - 1)
        .join("")
        .trimEnd()}…`;
}
