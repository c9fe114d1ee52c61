/** How strongly a part's colour is laid on: rows that are active often are strong, cold ones pale. */
import type { LayoutPart, PlanLayout } from "../plan-layout.js";

export interface Heat {
  /** Whether the plan tells hot rows from cold ones. */
  readonly isKnown: boolean;
  /** Frequencies at the two ends of the scale. */
  readonly coldest: number;
  readonly hottest: number;
  opacityOf(part: LayoutPart, kind: string): number;
}

const palest = 0.3;
/** Of what is read in every step, so that a layer's parts can be told apart where nothing is known of its rows. */
const strengthOfKind: Readonly<Record<string, number>> = { "feed-forward": 0.8, experts: 0.8 };

/** The scale goes by the square root, as frequencies of experts lie close together near nothing. */
export function heatOf({ units }: PlanLayout): Heat {
  const known = units.flatMap(({ parts }) => parts.flatMap(({ entry }) => (entry.rows && entry.activationFrequency) || []));
  const hottest = Math.max(0, ...known);
  const coldest = Math.min(1, ...known);
  const isKnown = known.length > 0 && hottest > coldest;
  return {
    isKnown,
    coldest,
    hottest,
    opacityOf({ entry }, kind) {
      const { activationFrequency, rows } = entry;
      if (!isKnown || rows === undefined || activationFrequency === undefined) return strengthOfKind[kind] ?? 1;
      const [low, high] = [Math.sqrt(coldest), Math.sqrt(hottest)];
      return palest + (1 - palest) * ((Math.sqrt(activationFrequency) - low) / (high - low));
    },
  };
}

/** Attention's weights have a tone of their own, as every token reads them whatever is hot. */
export function weightsClass(kind: string): string {
  return kind === "attention" ? "tc-attention" : "tc-weights";
}
