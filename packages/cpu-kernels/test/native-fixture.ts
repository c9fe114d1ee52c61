/** What the native tests share: whether the addon is there, and small backends and lists. */
import {
  type Backend,
  bindingNames,
  type CommandList,
  createMemoryLedger,
  type DeviceBuffer,
  type Encoder,
  type MemoryLedger,
  type StepBindings,
  type StepSignal,
  signalSlotStride,
  type Tensor,
} from "@thermocline/spec";
import { cpuBackendAvailability } from "../src/index.js";

const availability = cpuBackendAvailability();
export const hasAddon = availability.available;
/** Instruction sets that this processor runs; empty without the addon. */
export const isas = availability.available ? availability.isas : [];
if (!availability.available) console.warn(`skipped, the native addon is not built: ${availability.reasons.join("; ")}`);

export const ledgerFor = (...devices: string[]): MemoryLedger =>
  createMemoryLedger(Object.fromEntries(devices.map((device) => [device, 2 ** 34])));

export function reserve(ledger: MemoryLedger, device: string, byteLength: number, label = "test") {
  return ledger.reserve([{ device, owner: "test", class: "activations", byteLength, label }])[0]!;
}

export function allocate(ledger: MemoryLedger, backend: Backend, byteLength: number, label?: string): DeviceBuffer {
  return backend.allocate(reserve(ledger, backend.device.id, byteLength, label));
}

export const plain = (buffer: DeviceBuffer, shape: Tensor["shape"], dtype: Tensor["dtype"] = "f32", byteOffset = 0): Tensor => ({
  buffer,
  byteOffset,
  dtype,
  layout: "plain",
  shape,
});

export const bindings = (values: Partial<StepBindings> = {}): StepBindings => ({
  ...(Object.fromEntries(bindingNames.map((name) => [name, 1])) as StepBindings),
  ...values,
});

export function record(backend: Backend, recordCommands: (encoder: Encoder) => void): CommandList {
  const encoder = backend.createEncoder();
  recordCommands(encoder);
  return encoder.finish();
}

/** `count` slots in shared memory. */
export function stepSignals(count: number): StepSignal[] {
  const counters = new Int32Array(new SharedArrayBuffer(4 * signalSlotStride * count));
  return Array.from({ length: count }, (_, index) => ({ counters, slot: index * signalSlotStride }));
}

export const floats = (values: ArrayLike<number>): Uint8Array => new Uint8Array(Float32Array.from(values).buffer);

export async function readFloats(backend: Backend, tensor: Tensor): Promise<Float32Array> {
  const values = new Float32Array((tensor.shape as number[]).reduce((product, length) => product * length, 1));
  await backend.read(tensor, new Uint8Array(values.buffer));
  return values;
}

/** Deterministic 32-bit numbers, for choices and data: xorshift. */
export function randomSource(seed: number): () => number {
  let state = seed | 0 || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
}
