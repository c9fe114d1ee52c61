/** What models need of memory, from their headers alone. Runs in a browser; knows devices only by their backends' arithmetic. */
export { createDemandModel } from "./demand-model.js";
export {
  type KvBudget,
  type KvCard,
  type KvFractionMeaning,
  kvCacheBytesOf,
  kvFractionMeanings,
  kvFractionOf,
  parseKvBudget,
} from "./kv-budget.js";
export { type KvTokensOptions, kvCacheTokensOf } from "./kv-tokens.js";
