import {
  BackendUnavailableError,
  DeviceFaultError,
  InsufficientMemoryError,
  InvalidPlanError,
  InvalidRequestError,
} from "@thermocline/spec";
import { describe, expect, it } from "vitest";
import { parseCompletionRequest, toHttpFailure } from "../src/index.js";

describe("parseCompletionRequest", () => {
  it("names every field as the engine does, and leaves out what was not sent", () => {
    const body = {
      prompt: "a",
      temperature: 0,
      top_p: 0.5,
      top_k: 3,
      min_p: 0.1,
      seed: -1,
      stop: "x",
      max_tokens: 4,
      user: "me",
      n: 1,
      suffix: null,
    };
    expect(parseCompletionRequest(body)).toEqual({
      stream: false,
      includeUsage: false,
      generate: {
        prompt: "a",
        sampling: { temperature: 0, topP: 0.5, topK: 3, minP: 0.1, seed: -1 },
        maxTokens: 4,
        stop: ["x"],
        ignoreEos: false,
      },
    });
    const rest = {
      typical_p: 0.9,
      top_n_sigma: 1,
      xtc_probability: 0.5,
      xtc_threshold: 0.2,
      mirostat_tau: 5,
      mirostat_eta: 0.2,
      repetition_penalty: 1.1,
      presence_penalty: -2,
      frequency_penalty: 2,
    };
    expect(parseCompletionRequest({ prompt: "a", ...rest, logit_bias: { "7": -100, "12": 0.5 }, min_tokens: 16 }).generate).toEqual({
      prompt: "a",
      sampling: {
        typicalP: 0.9,
        topNSigma: 1,
        xtcProbability: 0.5,
        xtcThreshold: 0.2,
        mirostatTau: 5,
        mirostatEta: 0.2,
        repetitionPenalty: 1.1,
        presencePenalty: -2,
        frequencyPenalty: 2,
      },
      logitBias: [
        [7, -100],
        [12, 0.5],
      ],
      minTokens: 16,
      maxTokens: 16,
      stop: [],
      ignoreEos: false,
    });
    expect(parseCompletionRequest({ prompt: ["a"] }).generate).toEqual({
      prompt: "a",
      sampling: {},
      maxTokens: 16,
      stop: [],
      ignoreEos: false,
    });
  });
});

describe("toHttpFailure", () => {
  it.each([
    [new InvalidRequestError("stop", 1, "is 1", "send text"), 400, "invalid_request_error"],
    [new InsufficientMemoryError("cpu:0", 2, 1, [], "lower it"), 503, "server_error"],
    [new BackendUnavailableError("cuda", ["none"], "use cpu"), 503, "server_error"],
    [new DeviceFaultError("cpu:0", 3, "matmul", "broke"), 500, "server_error"],
    [new InvalidPlanError("unit head", "is twice", "once"), 500, "server_error"],
  ])("gives %s its status, type, code and cure", (error, status, type) => {
    const failure = toHttpFailure(error);
    expect(failure.status).toBe(status);
    expect(failure.body.error).toMatchObject({ type, code: error.code, message: expect.stringContaining(error.cure) });
  });

  it.each([
    ["topP", "top_p"],
    ["minP", "min_p"],
    ["repetitionPenalty", "repetition_penalty"],
    ["presencePenalty", "presence_penalty"],
    ["typicalP", "typical_p"],
    ["logitBias", "logit_bias"],
    ["minTokens", "min_tokens"],
    ["maxTokens", "max_tokens"],
    ["prompt", "prompt"],
    ["constructor", "constructor"],
  ])("names the parameter %s as on the wire, %s", (parameter, field) => {
    const failure = toHttpFailure(new InvalidRequestError(parameter, 0, "is 0", "give more"));
    expect(failure.body.error).toMatchObject({ param: field, message: `${field}: is 0; give more` });
  });

  it("tells nothing of what is no ThermoclineError", () => {
    expect(JSON.stringify(toHttpFailure(new Error("/home/me/secret")))).not.toContain("secret");
    expect(toHttpFailure("text").status).toBe(500);
  });
});
