/**
 * The stages of a pre-tokenizer. A stage cuts its input at what it looks for; what it found, and what lies between, are the inputs of the
 * next stage. The pieces joined are the text.
 */

/** Calls `visit` with each piece in order. Pieces may be empty. */
export type SplitStage = (text: string, visit: (piece: string) => void) => void;

/** Cuts out each match of an expression. No match may be empty. */
export function matchesOf(source: string, flags: "gu" | "gv" = "gu"): SplitStage {
  const expression = new RegExp(source, flags);
  return (text, visit) => {
    let start = 0;
    expression.lastIndex = 0;
    for (let match = expression.exec(text); match !== null; match = expression.exec(text)) {
      // The stages that `visit` leads to have expressions of their own, so this one's position outlives the calls.
      if (match.index > start) visit(text.slice(start, match.index));
      visit(match[0]);
      start = match.index + match[0].length;
    }
    if (start < text.length) visit(text.slice(start));
  };
}

const digitRun = /\p{Nd}+/gu;

/** Cuts runs of digits into threes from their end; what is left over stays with the text before: "a1234" is "a1", "234". */
export const threesFromTheEnd: SplitStage = (text, visit) => {
  let start = 0;
  for (const run of text.matchAll(digitRun)) {
    const runDigits = [...run[0]];
    let position = run.index;
    for (const [index, digit] of runDigits.entries()) {
      if ((runDigits.length - index) % 3 === 0) {
        visit(text.slice(start, position));
        start = position;
      }
      position += digit.length;
    }
  }
  visit(text.slice(start));
};

/** Calls `visit` with each word in order, empty ones left out. */
export function splitInStages(text: string, stages: readonly SplitStage[], visit: (word: string) => void, first = 0): void {
  if (text === "") return;
  const stage = stages[first];
  if (stage === undefined) visit(text);
  else stage(text, (piece) => splitInStages(piece, stages, visit, first + 1));
}
