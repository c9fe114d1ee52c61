/** Text of files and arguments on its way to a terminal, which obeys some characters instead of showing them. */

/** C0, DEL and C1 controls, line and paragraph separators, and the marks that turn the direction of text. */
const controls = /[\p{Cc}\u2028\u2029\u200e\u200f\u061c\u202a-\u202e\u2066-\u2069]/gu;

const named: Readonly<Record<string, string>> = { "\n": "\\n", "\r": "\\r", "\t": "\\t" };

/** One line that a terminal only shows: controls as `\x1b`, beyond one byte as `\u2028`, line breaks and tabs as `\n`, `\r`, `\t`. */
export function escapeControls(text: string): string {
  return text.replace(controls, (control) => {
    const hex = hexOf(control);
    return named[control] ?? (hex.length > 2 ? `\\u${hex.padStart(4, "0")}` : `\\x${hex}`);
  });
}

/** C0 but for line breaks and tabs, DEL, C1, and the marks that turn text around until they are taken back. */
const obeyedInText = /[^\P{Cc}\n\t]|[\u202a-\u202e\u2066-\u2069]/gu;

/** Text of any number of lines that a terminal only shows. The marks that writing from right to left needs stay. */
export function escapeControlsInText(text: string): string {
  return text.replace(obeyedInText, escapeControls);
}

/** JSON on one line, equal in meaning to what `JSON.stringify` makes of the value; bigints become strings. */
export function jsonLine(value: unknown): string {
  const json = JSON.stringify(value, (_key, inner: unknown) => (typeof inner === "bigint" ? String(inner) : inner));
  // What is left of controls lies inside strings.
  return json.replace(controls, (control) => `\\u${hexOf(control).padStart(4, "0")}`);
}

function hexOf(character: string): string {
  return character.charCodeAt(0).toString(16).padStart(2, "0");
}
