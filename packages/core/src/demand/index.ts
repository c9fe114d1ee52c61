/** What models need of memory, from their headers alone. Runs in a browser; knows devices only by their backends' arithmetic. */
export { createDemandModel } from "./demand-model.js";
