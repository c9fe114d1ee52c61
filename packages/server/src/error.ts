/** From errors to HTTP: one table from a ThermoclineError's code to a status, and OpenAI's error body. */
import { ThermoclineError } from "@thermocline/spec";
import { wireName } from "./protocol/completions.js";

export class UnknownResourceError extends ThermoclineError {
  readonly code = "unknown-resource";
  constructor(
    readonly resource: string,
    cure: string,
  ) {
    super(`${resource} does not exist`, cure);
  }
}

export class MethodNotAllowedError extends ThermoclineError {
  readonly code = "method-not-allowed";
  constructor(
    readonly method: string,
    readonly allowed: string,
  ) {
    super(`${method} is not allowed here`, `use ${allowed}`);
  }
}

export class RequestTooLargeError extends ThermoclineError {
  readonly code = "request-too-large";
  constructor(readonly limitBytes: number) {
    super(`the body is longer than ${limitBytes} bytes`, "send a shorter prompt or raise maxRequestBytes");
  }
}

/** The engine ended a generation that the client still waits for: it is being shut down. */
export class GenerationAbortedError extends ThermoclineError {
  readonly code = "generation-aborted";
  constructor() {
    super("the generation was aborted", "send the request again");
  }
}

const statusOfCode: Readonly<Record<string, number>> = {
  "invalid-request": 400,
  "unknown-resource": 404,
  "method-not-allowed": 405,
  "request-too-large": 413,
  "insufficient-memory": 503,
  "backend-unavailable": 503,
  "generation-aborted": 503,
};

export interface ErrorBody {
  readonly error: { readonly message: string; readonly type: string; readonly param: string | null; readonly code: string | null };
}

export interface HttpFailure {
  readonly status: number;
  readonly body: ErrorBody;
  readonly headers?: Readonly<Record<string, string>>;
}

/**
 * Codes outside the table are faults of the server's own model or devices: 500. What is no ThermoclineError is a bug and keeps its message
 * to itself. A parameter is named as on the wire, whoever refused it.
 */
export function toHttpFailure(error: unknown): HttpFailure {
  if (!ThermoclineError.isInstance(error))
    return { status: 500, body: { error: { message: "internal error", type: "server_error", param: null, code: null } } };
  const status = statusOfCode[error.code] ?? 500;
  const type = status < 500 ? "invalid_request_error" : "server_error";
  const headers = headersOf(error);
  const { message, param } = namedOnTheWire(error);
  return { status, body: { error: { message, type, param, code: error.code } }, ...(headers && { headers }) };
}

/** Messages of errors with a parameter begin with its name. */
function namedOnTheWire(error: ThermoclineError): { readonly message: string; readonly param: string | null } {
  const { message } = error;
  if (!("parameter" in error)) return { message, param: null };
  const parameter = String(error.parameter);
  const param = wireName(parameter);
  return { message: message.startsWith(`${parameter}:`) ? param + message.slice(parameter.length) : message, param };
}

function headersOf(error: ThermoclineError): Readonly<Record<string, string>> | undefined {
  if (error instanceof MethodNotAllowedError) return { allow: error.allowed };
  // The rest of the body was not read.
  if (error instanceof RequestTooLargeError) return { connection: "close" };
  return undefined;
}
