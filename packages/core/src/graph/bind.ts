/** A draft and real memory → command lists. */
import {
  type Backend,
  type Command,
  type CommandList,
  type DeviceBuffer,
  type OpDefinition,
  opTable,
  recordCommand,
  type StepSignal,
  signalSlotStride,
  type Tensor,
  tensorsOf,
} from "@thermocline/spec";
import type { ArenaPlan } from "./arena-plan.js";
import type { DraftBuffer, DraftRegion } from "./draft-buffer.js";

/** Where a region lies on a device. */
export type ResolveRegion = (region: DraftRegion) => { readonly buffer: DeviceBuffer; readonly byteOffset: number };

export interface BindOptions {
  /** Fills each activation with NaN after its last use, so that a kernel which reads dead memory shows. */
  readonly poisonDeadActivations?: boolean;
}

export function bindCommands(
  commands: readonly Command[],
  backend: Backend,
  arena: ArenaPlan,
  counters: Int32Array,
  resolve: ResolveRegion,
  options: BindOptions = {},
): CommandList {
  const encoder = backend.createEncoder();
  const bindTensor = (tensor: Tensor): Tensor => {
    const { buffer, byteOffset } = resolve((tensor.buffer as DraftBuffer).region);
    return { ...tensor, buffer, byteOffset: byteOffset + tensor.byteOffset };
  };
  const bindSignal = (signal: StepSignal): StepSignal => ({ counters, slot: signal.slot * signalSlotStride });

  commands.forEach((command, index) => {
    recordCommand(encoder, bindFields(command, bindTensor, bindSignal));
    if (options.poisonDeadActivations) {
      for (const tensor of deadAfter(command, index, arena)) encoder.fill(bindTensor(asFloats(tensor)), Number.NaN);
    }
  });
  return encoder.finish();
}

function bindFields(command: Command, bindTensor: (tensor: Tensor) => Tensor, bindSignal: (signal: StepSignal) => StepSignal): Command {
  const values = command as unknown as Record<string, unknown>;
  const bound: Record<string, unknown> = { op: command.op };
  for (const [field, kind] of Object.entries((opTable[command.op] as OpDefinition).fields)) {
    const value = values[field];
    if (value === undefined) continue;
    if (kind === "tensor" || kind === "tensor?") bound[field] = bindTensor(value as Tensor);
    else if (kind === "signal") bound[field] = bindSignal(value as StepSignal);
    else bound[field] = value;
  }
  return bound as unknown as Command;
}

/** The activations that no later command touches, each once. */
function deadAfter(command: Command, index: number, arena: ArenaPlan): readonly Tensor[] {
  const dead = new Map<number, Tensor>();
  for (const [, tensor] of tensorsOf(command)) {
    const { region } = tensor.buffer as DraftBuffer;
    if (region.kind === "activation" && arena.lastUses[region.id] === index) dead.set(region.id, tensor);
  }
  return [...dead.values()];
}

/** The whole of an activation as one row of f32. */
function asFloats(tensor: Tensor): Tensor {
  return {
    buffer: tensor.buffer,
    byteOffset: 0,
    dtype: "f32",
    layout: "plain",
    shape: [Math.floor((tensor.buffer as DraftBuffer).byteLength / 4)],
  };
}
