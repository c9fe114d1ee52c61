/** Carries out a case on a backend, through the public interfaces alone. */
import {
  type Backend,
  type CommandList,
  createMemoryLedger,
  type DeviceBuffer,
  type DeviceFaultError,
  type DType,
  type StepBindings,
  type Tensor,
  ThermoclineError,
} from "@thermocline/spec";
import { bytesOf, expectSameBits } from "./comparison.js";
import { createMemorySource } from "./memory-source.js";
import { CaseFailure, type OpCase, type OpPlan, type OpStep, type PlainArray } from "./op-case.js";

export interface OpCaseResult {
  readonly status: "passed" | "unsupported" | "failed";
  /** What was wrong, or what is not supported; empty where the case passed. */
  readonly detail: string;
}

export interface RunOpCaseOptions {
  /** A second backend that must pass the case too: tells an error of the backend from one of the case or the machine. */
  readonly oracle?: Backend;
}

/**
 * Runs one case: loads its weights, records its op, submits every step and compares. Allocates and gives back its own memory; the backend
 * stays the caller's. Never throws for a wrong backend: that is the result "failed".
 */
export async function runOpCase(opCase: OpCase, backend: Backend, { oracle }: RunOpCaseOptions = {}): Promise<OpCaseResult> {
  if (oracle !== undefined) {
    const result = await runOpCase(opCase, oracle);
    if (result.status !== "passed") return { status: "failed", detail: `the oracle: ${result.status}: ${result.detail}` };
  }
  try {
    const { op, dtype, otherDType = dtype } = opCase;
    for (const needed of [dtype, otherDType])
      if (!backend.traits.supports(op, needed)) return await refuseUnsupported(opCase, needed, backend);
    await using run = new CaseRun(opCase, backend);
    await run.execute();
    return { status: "passed", detail: "" };
  } catch (error) {
    return { status: "failed", detail: error instanceof CaseFailure ? error.message : String((error as Error)?.stack ?? error) };
  }
}

/** An op or dtype that the traits deny must be refused while recording, not later. */
async function refuseUnsupported(opCase: OpCase, dtype: DType, backend: Backend): Promise<OpCaseResult> {
  const plan = opCase.plan();
  using buffer = allocate(backend, 64);
  const tensors: Record<string, Tensor> = {};
  for (const [name, view] of Object.entries(plan.views))
    tensors[name] = { buffer, byteOffset: 0, dtype: view.dtype ?? dtypeOf(plan.arrays[view.array]!), layout: "plain", shape: view.shape };
  for (const [name, weight] of Object.entries(plan.weights ?? {}))
    tensors[name] = { buffer, byteOffset: 0, dtype: weight.dtype, layout: "packed", shape: weight.shape };
  try {
    plan.record(backend.createEncoder(), tensors);
  } catch (error) {
    if (hasCode(error, "unsupported-op")) return { status: "unsupported", detail: `${opCase.op} with ${dtype}` };
    throw error;
  }
  throw new CaseFailure(`the traits deny ${opCase.op} with ${dtype}, but recording it did not throw UnsupportedOpError`);
}

function allocate(backend: Backend, byteLength: number): DeviceBuffer {
  const ledger = createMemoryLedger({ [backend.device.id]: byteLength });
  const request = { device: backend.device.id, owner: "op-cases", class: "activations", byteLength, label: "op case" } as const;
  return backend.allocate(ledger.reserve([request])[0]!);
}

function dtypeOf(array: PlainArray): DType {
  if (array instanceof Float32Array) return "f32";
  if (array instanceof Int32Array) return "i32";
  return array instanceof Uint16Array ? "f16" : "i8";
}

/** By code and not by class: a backend may bring its own copy of the spec package. */
function hasCode(error: unknown, code: string): boolean {
  return ThermoclineError.isInstance(error) && error.code === code;
}

/** Bytes behind every array that nobody may write. */
const guard = new Uint8Array(64).fill(0xa5);

const zeroBindings: StepBindings = { step: 0, numTokens: 0, numSequences: 0, numOutputRows: 0, maxContextLength: 0 };

/** All tensors of a case in one buffer. */
class CaseRun {
  readonly #plan: OpPlan;
  readonly #offsets = new Map<string, number>();
  readonly #buffer: DeviceBuffer;
  readonly #workspaceBytes: number;

  constructor(
    private readonly opCase: OpCase,
    private readonly backend: Backend,
  ) {
    const { traits } = backend;
    const plan = opCase.plan();
    this.#plan = plan;
    const { op, dtype } = opCase;
    this.#workspaceBytes = plan.workspaceFor === undefined ? 0 : traits.workspaceByteLength({ op, dtype, ...plan.workspaceFor });
    let end = traits.alignment;
    const place = (name: string, byteLength: number) => {
      this.#offsets.set(name, end);
      end += Math.ceil(byteLength / traits.alignment) * traits.alignment;
    };
    for (const [name, array] of Object.entries(plan.arrays)) place(name, array.byteLength + guard.length);
    for (const [name, { slices }] of Object.entries(plan.weights ?? {}))
      place(name, traits.packedByteLength(this.#weightInfo(name), slices));
    place("workspace", this.#workspaceBytes + guard.length);
    this.#buffer = allocate(backend, end);
  }

  async execute(): Promise<void> {
    await this.#loadWeights();
    const encoder = this.backend.createEncoder();
    this.#plan.record(encoder, this.#tensors());
    using list = encoder.finish();
    for (const [index, step] of this.#plan.steps.entries()) {
      try {
        await this.#runStep(list, step, index + 1);
      } catch (error) {
        if (error instanceof CaseFailure) throw new CaseFailure(`step ${index}: ${error.message}`);
        throw error;
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#buffer[Symbol.dispose]();
  }

  #weightInfo(name: string) {
    const source = createMemorySource(this.#plan.weights ?? {});
    return source.tensors.get(name)!;
  }

  async #loadWeights(): Promise<void> {
    const { traits } = this.backend;
    await using source = createMemorySource(this.#plan.weights ?? {});
    for (const [name, { slices }] of Object.entries(this.#plan.weights ?? {})) {
      const info = source.tensors.get(name)!;
      let loadedBytes = 0;
      const onBytes = (byteLength: number) => {
        loadedBytes += byteLength;
      };
      await this.backend.load(source, info, this.#weightTensor(name), slices === undefined ? { onBytes } : { slices, onBytes });
      const expectsBytes = traits.packedByteLength(info, slices) > 0;
      if (expectsBytes && loadedBytes === 0) throw new CaseFailure(`load of ${name} reported no bytes`);
    }
  }

  #weightTensor(name: string): Tensor {
    const { dtype, shape, slices = [] } = this.#plan.weights![name]!;
    const slicedShape = shape.map((length, axis) => {
      const slice = slices.find((candidate) => candidate.axis === axis);
      return slice === undefined ? length : slice.ranges.reduce((sum, [, count]) => sum + count, 0);
    });
    const layout = this.backend.traits.weightLayout(this.#weightInfo(name));
    return { buffer: this.#buffer, byteOffset: this.#offsets.get(name)!, dtype, layout, shape: slicedShape };
  }

  #tensors(): Record<string, Tensor> {
    const tensors: Record<string, Tensor> = {};
    for (const [name, { array, dtype, shape, rowStride, offset = 0 }] of Object.entries(this.#plan.views)) {
      const content = this.#plan.arrays[array]!;
      const byteOffset = this.#offsets.get(array)! + offset * content.BYTES_PER_ELEMENT;
      const tensor = { buffer: this.#buffer, byteOffset, dtype: dtype ?? dtypeOf(content), layout: "plain", shape } as const;
      tensors[name] = rowStride === undefined ? tensor : { ...tensor, rowStride };
    }
    for (const name of Object.keys(this.#plan.weights ?? {})) tensors[name] = this.#weightTensor(name);
    if (this.#workspaceBytes > 0) tensors.workspace = this.#bytesTensor("workspace", this.#workspaceBytes);
    return tensors;
  }

  #bytesTensor(name: string, byteLength: number): Tensor {
    return { buffer: this.#buffer, byteOffset: this.#offsets.get(name)!, dtype: "i8", layout: "plain", shape: [byteLength] };
  }

  async #runStep(list: CommandList, step: OpStep, number: number): Promise<void> {
    const before = new Map(Object.entries(this.#plan.arrays).map(([name, array]) => [name, withPrefix(array, step.write?.[name])]));
    before.set("workspace", new Uint8Array(this.#workspaceBytes).fill(0xff));
    for (const [name, array] of before) {
      const bytes = new Uint8Array(array.byteLength + guard.length);
      bytes.set(bytesOf(array));
      bytes.set(guard, array.byteLength);
      this.backend.write(this.#bytesTensor(name, bytes.length), bytes);
    }
    const { done } = this.backend.submit(list, { ...zeroBindings, step: number, ...step.bindings });
    if (step.faultDetail !== undefined) {
      await this.#expectFault(done, step.faultDetail);
      return;
    }
    const { outcome } = await done;
    if (outcome !== "completed") throw new CaseFailure(`the submission's outcome is ${outcome}`);
    const outputs: Record<string, PlainArray> = {};
    for (const [name, array] of before) {
      const after = await this.#read(name, array);
      if (this.#plan.outputs.includes(name)) outputs[name] = after;
      else if (name !== "workspace") expectSameBits(`input ${name}`, after, array);
    }
    step.check?.(outputs);
  }

  async #read(name: string, array: PlainArray): Promise<PlainArray> {
    const bytes = new Uint8Array(array.byteLength + guard.length);
    await this.backend.read(this.#bytesTensor(name, bytes.length), bytes);
    expectSameBits(`memory behind ${name}`, bytes.slice(array.byteLength), guard);
    const after = array.slice();
    bytesOf(after).set(bytes.subarray(0, array.byteLength));
    return after;
  }

  async #expectFault(done: Promise<unknown>, detail: string): Promise<void> {
    const error = await done.then(
      () => undefined,
      (reason: unknown) => reason,
    );
    if (!hasCode(error, "device-fault")) throw new CaseFailure(`expected a DeviceFaultError with "${detail}", got ${error ?? "none"}`);
    const fault = error as DeviceFaultError;
    if (fault.op !== this.opCase.op || fault.commandIndex !== 0 || fault.device !== this.backend.device.id)
      throw new CaseFailure(`the fault names command ${fault.commandIndex} (${fault.op}) of ${fault.device}`);
    if (!fault.detail.includes(detail)) throw new CaseFailure(`the fault's detail "${fault.detail}" does not hold "${detail}"`);
  }
}

function withPrefix(array: PlainArray, prefix: PlainArray | undefined): PlainArray {
  const result = array.slice();
  if (prefix !== undefined) result.set(prefix);
  return result;
}
