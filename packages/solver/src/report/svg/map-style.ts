/** Colours and type of the map; it follows the reader's light or dark scheme, and needs no font but the reader's own. */
import { classStyles, type ShownClass } from "../class-style.js";

const shownClasses = Object.keys(classStyles) as ShownClass[];

/** Deeper than the blue of other weights. */
const attention = { light: "#27548a", dark: "#3f74ad" } as const;

const rules = (scheme: "light" | "dark", ink: string, quiet: string, ground: string, line: string) =>
  [
    `.tc-attention{fill:${attention[scheme]}}`,
    `.tc-ground{fill:${ground}}`,
    `.tc-ink,.tc-strong,.tc-title{fill:${ink}}`,
    `.tc-quiet{fill:${quiet}}`,
    `.tc-on-pale{fill:${ink}}`,
    `.tc-free{stroke:${line};stroke-width:.6}`,
    ...shownClasses.map((name) => `.tc-${name}{fill:${classStyles[name][scheme]}}`),
  ].join("");

export const mapStyle = [
  "<style>",
  '.tc-map text{font-family:ui-sans-serif,system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif;font-size:12px}',
  ".tc-map .tc-title{font-size:18px;font-weight:600}.tc-map .tc-strong{font-weight:600}.tc-map .tc-small{font-size:10.5px}",
  ".tc-map .tc-on-cell,.tc-map .tc-on-pale{font-size:10px;pointer-events:none}.tc-on-cell{fill:#fff}",
  ".tc-map .tc-figure{font-size:18px;font-weight:600}",
  ".tc-map g:hover>rect{stroke:#111;stroke-width:.8}",
  rules("light", "#1c2530", "#66717f", "#ffffff", "#dde2e8"),
  `@media (prefers-color-scheme:dark){${rules("dark", "#e7ecf2", "#98a4b3", "#12161c", "#2c343f")}.tc-map g:hover>rect{stroke:#fff}}`,
  "</style>",
].join("");
