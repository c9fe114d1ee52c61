/** What a solver's thread and the worker that runs HiGHS say to each other. */
import type { IntegerProgramData } from "./integer-program.js";

export interface WorkerRequest {
  readonly program: IntegerProgramData;
  /** Values of all variables of a solution that is known. */
  readonly start?: Float64Array;
  /** By HiGHS's names. */
  readonly options: Readonly<Record<string, number | boolean | string>>;
}

export interface WorkerAnswer {
  /** optimal: within the gap that was asked for; limited: a limit was reached first. */
  readonly outcome: "optimal" | "infeasible" | "limited";
  /** No solution has a lower objective. -Infinity where nothing is known. */
  readonly bound: number;
  /** Of the best solution found. */
  readonly values?: Float64Array;
}

export interface WorkerFailure {
  readonly failure: string;
}
