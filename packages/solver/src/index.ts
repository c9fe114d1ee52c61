export { solveExact } from "./exact/solve-exact.js";
export { solveGreedy } from "./greedy/solve-greedy.js";
export {
  estimateMachine,
  hypotheticalMachine,
  type KnownMachine,
  type MachineSizes,
  machineFromPreset,
  machinePresets,
} from "./machine/machine-presets.js";
export { parseMachineProfile } from "./machine/parse-machine-profile.js";
export type { PublishedGpu } from "./machine/published-gpus.js";
export type { PublishedLink, PublishedMemory } from "./machine/published-memories.js";
export { gpuRates, type PublishedProcessor } from "./machine/published-rates.js";
export { parsePlan } from "./plan/parse-plan.js";
export { offloadPlanSchema } from "./plan/plan-schema.js";
export { type PlanTarget, resolvePlan, validatePlan } from "./plan/resolve-plan.js";
export { type BudgetPoint, budgetCurve } from "./planning/answers/budget-curve.js";
export {
  chooseQuantisation,
  type QuantisationAdvice,
  type QuantisationChoice,
  type QuantisationOptions,
} from "./planning/answers/choose-quantisation.js";
export { explainMemory } from "./planning/answers/explain-memory.js";
export { type LargestContext, largestContext } from "./planning/answers/largest-context.js";
export { type LargestKvType, largestKvType } from "./planning/answers/largest-kv-type.js";
export { type LeastBudget, leastBudget, type SpeedTarget, TargetOutOfReachError } from "./planning/answers/least-budget.js";
export {
  claimsOf,
  type DeviceClaim,
  OverclaimedDeviceError,
  planTogether,
  type SharedPlanRequest,
} from "./planning/answers/plan-together.js";
export { applyRemedy, describeRemedy } from "./planning/apply-remedy.js";
export { comparedDepths } from "./planning/compare-strategies.js";
export { createAutosplitPlan, createPlan, createRankedPlans } from "./planning/create-plan.js";
export { defaultReserveBytes } from "./planning/device-limits.js";
export { InvalidPinError } from "./planning/pins.js";
export {
  type DeviceBudget,
  defaultWorkload,
  type PlanProgress,
  type PlanRequest,
  type StrategyName,
  strategyNames,
  type UnitPin,
} from "./planning/plan-request.js";
export { predictTimes, predictUnitSeconds } from "./pricing/predict-times.js";
export { type Change, comparePlans, type NamedChange, type PlanComparison, type UnitMove } from "./report/compare-plans.js";
export { type ExplainOptions, explainPlan } from "./report/explain-plan.js";
export { type FormatComparisonOptions, formatComparison } from "./report/format-comparison.js";
export { formatPlan } from "./report/format-plan.js";
export { drawPlan } from "./report/svg/draw-plan.js";
export { createSharePlan, type SharePlanOptions } from "./share-plan.js";
export { solverVersion } from "./solver-version.js";
