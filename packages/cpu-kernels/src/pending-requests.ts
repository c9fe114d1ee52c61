/** Promises that the addon's events settle. Knows no backend, so that the addon's listener keeps none alive. */
import { DeviceFaultError, type DeviceId, type SubmissionOutcome, type SubmissionReport } from "@thermocline/spec";
import { eventKinds, loadOutcomes, submissionOutcomes } from "./native-binding.js";

export interface LoadResult {
  readonly outcome: (typeof loadOutcomes)[number];
  /** 0 where there is none. */
  readonly errno: number;
  /** With "truncated": what the file has. */
  readonly fileByteLength: number;
}

interface Settle<T> {
  resolve(value: T): void;
  reject(error: Error): void;
}

export class PendingRequests {
  readonly #submissions = new Map<number, Settle<SubmissionReport>>();
  readonly #reads = new Map<number, Settle<void>>();
  readonly #loads = new Map<number, Settle<LoadResult> & { readonly onBytes: ((byteLength: number) => void) | undefined }>();
  readonly #drained: (() => void)[] = [];
  #nextId = 0;

  constructor(private readonly device: DeviceId) {}

  nextId(): number {
    return this.#nextId++;
  }

  submission(id: number): Promise<SubmissionReport> {
    return new Promise((resolve, reject) => this.#submissions.set(id, { resolve, reject }));
  }

  isSubmitted(id: number): boolean {
    return this.#submissions.has(id);
  }

  read(id: number): Promise<void> {
    return new Promise((resolve, reject) => this.#reads.set(id, { resolve, reject }));
  }

  load(id: number, onBytes: ((byteLength: number) => void) | undefined): Promise<LoadResult> {
    return new Promise((resolve, reject) => this.#loads.set(id, { resolve, reject, onBytes }));
  }

  drained(): Promise<void> {
    return new Promise((resolve) => this.#drained.push(resolve));
  }

  /** Takes one event, with the arguments that `NativeListener` lists. */
  readonly listen = (kind: number, id: number, ...rest: unknown[]): void => {
    switch (kind) {
      case eventKinds.submissionDone:
        this.#settleSubmission(id, ...(rest as [number, number, string, string, Float64Array | undefined]));
        break;
      case eventKinds.readDone:
        this.#settleRead(id, rest[0] as boolean);
        break;
      case eventKinds.loadDone:
        this.#settleLoad(id, ...(rest as [number, number, number]));
        break;
      case eventKinds.loadProgress:
        this.#reportProgress(id, rest[0] as number);
        break;
      case eventKinds.drained:
        for (const resolve of this.#drained) resolve();
    }
  };

  #settleSubmission(id: number, code: number, commandIndex: number, op: string, detail: string, stretches: Float64Array | undefined): void {
    const settle = this.#submissions.get(id);
    this.#submissions.delete(id);
    const outcome = submissionOutcomes[code]!;
    if (outcome === "failed") settle?.reject(new DeviceFaultError(this.device, commandIndex, op, detail));
    else settle?.resolve(stretches === undefined ? { outcome } : { outcome: outcome satisfies SubmissionOutcome, stretches });
  }

  #settleRead(id: number, filled: boolean): void {
    const settle = this.#reads.get(id);
    this.#reads.delete(id);
    if (filled) settle?.resolve();
    else settle?.reject(disposedError(this.device));
  }

  #settleLoad(id: number, outcome: number, errno: number, fileByteLength: number): void {
    const settle = this.#loads.get(id);
    this.#loads.delete(id);
    settle?.resolve({ outcome: loadOutcomes[outcome]!, errno, fileByteLength });
  }

  // A listener that throws ends its load, as it would if the load were JavaScript.
  #reportProgress(id: number, byteLength: number): void {
    const load = this.#loads.get(id);
    try {
      load?.onBytes?.(byteLength);
    } catch (error) {
      this.#loads.delete(id);
      load?.reject(error as Error);
    }
  }
}

/** Why a request did not come to its end. */
export const disposedError = (device: DeviceId) => new DOMException(`${device} was disposed`, "AbortError");
