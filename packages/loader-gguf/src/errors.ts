import { ThermoclineError } from "@thermocline/spec";

/** A file is no GGUF file, is damaged, or is of a kind that is not read here. Nothing of it can be used. */
export class GgufFormatError extends ThermoclineError {
  readonly code = "invalid-gguf";
  constructor(
    /** Path as it was given, URL without credentials and query, or "blob". */
    readonly location: string,
    /** What is wrong: "magic", "metadata[general.alignment].value", "tensors[output.weight].offset". */
    readonly field: string,
    /** What stands there; integers beyond 2^53 and invalid bytes as text. */
    readonly value: string | number,
    /** Where it stands, from the start of the file. */
    readonly byteOffset: number,
    problem: string,
    cure = "download or convert the file again, for it is damaged or incomplete",
  ) {
    super(`${location}: ${field} at byte ${byteOffset} ${problem}`, cure);
  }
}

/** A server answers a range request with the whole file, or does not say how long the file is. Nothing more was downloaded. */
export class RangeUnsupportedError extends ThermoclineError {
  readonly code = "range-unsupported";
  constructor(
    readonly location: string,
    /** HTTP status of the answer. */
    readonly status: number,
    problem: string,
  ) {
    super(
      `${location}: ${problem}`,
      "download the file, or serve it where `Range: bytes=…` is answered with 206 and a readable Content-Range (in a browser, CORS must expose it)",
    );
  }
}

/** A file gave fewer bytes than its size promised when it was opened. */
export class ShortReadError extends ThermoclineError {
  readonly code = "short-read";
  constructor(
    readonly location: string,
    readonly offset: number,
    readonly expectedBytes: number,
    readonly actualBytes: number,
  ) {
    super(
      `${location}: expected ${expectedBytes} bytes at offset ${offset}, got ${actualBytes}`,
      "the file changed after it was opened; leave it alone while it is in use, and open it again",
    );
  }
}

/** The page may not hash: browsers offer WebCrypto to secure contexts only. */
export class SecureContextRequiredError extends ThermoclineError {
  readonly code = "secure-context-required";
  constructor() {
    super("crypto.subtle is missing, so the model's identity cannot be computed", "serve the page over https or from localhost");
  }
}
