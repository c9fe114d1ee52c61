export { type AppOptions, createApp } from "./app.js";
export {
  type ErrorBody,
  GenerationAbortedError,
  type HttpFailure,
  MethodNotAllowedError,
  RequestTooLargeError,
  toHttpFailure,
  UnknownResourceError,
} from "./error.js";
export { type Completion, type CompletionRequest, type CompletionUsage, parseCompletionRequest } from "./protocol/completions.js";
export type { ModelList, ModelObject } from "./protocol/models.js";
