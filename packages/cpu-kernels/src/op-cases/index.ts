/**
 * One table of op cases for every backend:
 *
 * ```ts
 * for (const opCase of opCases) console.log(opCase.name, await runOpCase(opCase, backend));
 * ```
 *
 * A case loads weights, records one op, submits it with several bindings and compares with figures that it computes itself in double
 * precision. Tolerances are bounds of f32 arithmetic, given where they are computed.
 */
import { attentionCases } from "./cases/attention-cases.js";
import { elementwiseCases } from "./cases/elementwise-cases.js";
import { expertMatmulCases } from "./cases/expert-matmul-cases.js";
import { combineExpertsCases, routeExpertsCases } from "./cases/expert-routing-cases.js";
import { matmulCases } from "./cases/matmul-cases.js";
import { meanPoolCases } from "./cases/mean-pool-cases.js";
import { normCases } from "./cases/norm-cases.js";
import { ropeCases } from "./cases/rope-cases.js";
import { rowCopyCases } from "./cases/row-copy-cases.js";
import { sampleCases } from "./cases/sample-cases.js";
import { storeKvCases } from "./cases/store-kv-cases.js";
import { topLogprobsCases } from "./cases/top-logprobs-cases.js";
import type { OpCase } from "./op-case.js";

export type { OpCase, OpPlan, OpStep, PlainArray, PlainArrays, ViewPlan, WeightPlan } from "./op-case.js";
export { CaseFailure } from "./op-case.js";
export { type OpCaseResult, type RunOpCaseOptions, runOpCase } from "./run-op-case.js";

/** Every op at edge shapes and batch sizes. */
export const opCases: readonly OpCase[] = [
  ...rowCopyCases,
  ...normCases,
  ...matmulCases,
  ...routeExpertsCases,
  ...expertMatmulCases,
  ...combineExpertsCases,
  ...meanPoolCases,
  ...ropeCases,
  ...storeKvCases,
  ...attentionCases,
  ...elementwiseCases,
  ...sampleCases,
  ...topLogprobsCases,
];
