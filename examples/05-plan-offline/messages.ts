/** What the page and its worker say to each other. */
import type { BudgetPoint } from "@thermocline/solver";
import type { OffloadPlan } from "@thermocline/spec";
import type { Wishes } from "./offline-request.js";

export interface Question {
  /** Counts up; answers bear the number of their question. */
  readonly number: number;
  /** A file, all shards of one model, or an address; absent: the model of the question before. */
  readonly location?: Blob | readonly Blob[] | string;
  readonly wishes: Wishes;
}

export type Answer = { readonly number: number } & (
  | { readonly kind: "plan"; readonly plan: OffloadPlan }
  | { readonly kind: "longest-context"; readonly contextLength: number }
  | { readonly kind: "curve"; readonly points: readonly Pick<BudgetPoint, "bytes" | "tokensPerSecond">[]; readonly vramBytes: number }
  | { readonly kind: "error"; readonly problem: string; readonly cure: string; readonly remedy?: Wishes }
);
