/** How each class of memory looks, the same in terminals and pictures. */
import type { MemoryClass } from "@thermocline/spec";

export type ShownClass = MemoryClass | "free";

export interface ClassStyle {
  /** One character, where there is no colour. */
  readonly letter: string;
  /** Number of an ANSI foreground colour, so that the terminal's own theme decides. */
  readonly ansi: number;
  /** Of fills on a light and on a dark ground. */
  readonly light: string;
  readonly dark: string;
}

/** Hues far apart for what is large; everything small that a step needs is in warm tones. */
export const classStyles: Readonly<Record<ShownClass, ClassStyle>> = {
  weights: { letter: "W", ansi: 34, light: "#3b76b8", dark: "#5b96d8" },
  "mapped-file": { letter: "M", ansi: 36, light: "#8fb7dd", dark: "#3a5f86" },
  "kv-cache": { letter: "K", ansi: 32, light: "#2f9e82", dark: "#41b899" },
  activations: { letter: "A", ansi: 33, light: "#e3a13a", dark: "#e0a648" },
  staging: { letter: "S", ansi: 35, light: "#d9743f", dark: "#e08152" },
  transfer: { letter: "T", ansi: 31, light: "#bf5068", dark: "#d2667d" },
  graphs: { letter: "G", ansi: 95, light: "#8d6bb0", dark: "#a587c6" },
  context: { letter: "C", ansi: 96, light: "#7d8794", dark: "#8b95a3" },
  reserve: { letter: "R", ansi: 90, light: "#c9ced6", dark: "#4a525e" },
  free: { letter: ".", ansi: 90, light: "#f1f3f6", dark: "#1d222a" },
};
