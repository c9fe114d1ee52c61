export { formatPlan } from "./format-plan.js";
export { parsePlan } from "./parse-plan.js";
export { offloadPlanSchema } from "./plan-schema.js";
export { type PlanTarget, resolvePlan, validatePlan } from "./resolve-plan.js";
export { createSharePlan, type SharePlanOptions } from "./share-plan.js";
