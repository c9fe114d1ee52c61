/** Colours and blocks for terminals that show them; plain ASCII otherwise. */

export interface TerminalStyle {
  readonly hasColour: boolean;
  heading(text: string): string;
  /** `cells` cells of a bar: blocks of a colour, or the letter. */
  fill(cells: number, look: { readonly letter: string; readonly ansi: number; readonly block?: string }): string;
}

export function terminalStyle(hasColour: boolean): TerminalStyle {
  const paint = (code: number, text: string) => (hasColour && text !== "" ? `\u001b[${code}m${text}\u001b[0m` : text);
  return {
    hasColour,
    heading: (text) => paint(1, text),
    fill: (cells, { letter, ansi, block = "\u2588" }) => paint(ansi, (hasColour ? block : letter).repeat(cells)),
  };
}

/** Of devices, in the plan's order: letters from a, in colours that repeat after six. Letters, so that no one takes them for classes. */
export function deviceLook(index: number): { readonly letter: string; readonly ansi: number; readonly block: string } {
  const letter = String.fromCharCode(97 + (index % 26));
  return { letter, ansi: [32, 34, 35, 33, 36, 31][index % 6]!, block: letter };
}
