/** A plan in a page of text: what it is for, what lies where and why, and how fast it should be. */
import type { OffloadPlan } from "@thermocline/spec";
import { explainMemory } from "../planning/answers/explain-memory.js";
import { classTableLines, deviceLines } from "./device-section.js";
import { layerLines, reasonLines } from "./layer-section.js";
import { layoutOf } from "./plan-layout.js";
import { conditionsOf, sourcesOf, titleOf } from "./plan-title.js";
import { printable } from "./quantities.js";
import { comparisonLines, predictionLines, solverLines } from "./speed-section.js";
import { terminalStyle } from "./terminal-style.js";
import { wrapLines } from "./text-table.js";

export interface ExplainOptions {
  /** Columns; default 100. Lines are longer only where a single word is. */
  readonly width?: number;
  /** ANSI colours and block characters; default: plain ASCII, letters instead of colours. */
  readonly colour?: boolean;
}

/**
 * Tables and bars of a parsed plan, from what it says of itself: neither the model nor the machine is needed. No trailing spaces, no
 * final newline.
 */
export function explainPlan(plan: OffloadPlan, { width = 100, colour = false }: ExplainOptions = {}): string {
  const style = terminalStyle(colour);
  const layout = layoutOf(plan);
  const wrap = (texts: readonly string[]) => texts.flatMap((text) => wrapLines(text, width, "  "));
  const estimates = (plan.estimates ?? []).map((sentence) => `estimated, not exact: ${printable(sentence)}`);
  const reasons = reasonLines(plan, width);
  const sections = [
    [style.heading(titleOf(plan)), ...wrap([...conditionsOf(plan), ...sourcesOf(plan)])],
    wrap([...predictionLines(plan), ...solverLines(plan)]),
    deviceLines(layout, width, style),
    layout.hasBytes ? classTableLines(plan, layout) : [],
    wrap([memorySentence(plan, colour), ...estimates].filter((text) => text !== "")),
    layerLines(layout, width, style),
    reasons.length === 0 ? [] : [style.heading("why"), ...reasons],
    comparisonLines(plan, style),
  ];
  return sections
    .filter((lines) => lines.length > 0)
    .map((lines) => lines.join("\n"))
    .join("\n\n");
}

function memorySentence(plan: OffloadPlan, colour: boolean): string {
  const sentence = printable(explainMemory(plan));
  return colour ? sentence : sentence.replaceAll("\u00d7", "x");
}
