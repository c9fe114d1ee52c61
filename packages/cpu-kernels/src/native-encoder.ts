/** Recording for the addon: checked commands, packed once. */
import assert from "node:assert/strict";
import {
  type BackendTraits,
  type Command,
  CommandEncoder,
  type CommandOf,
  type DeviceId,
  type HandleResolver,
  InvalidCommandError,
  maxTensorRank,
  packCommands,
  type RecordedCommands,
  type Tensor,
  tensorsOf,
} from "@thermocline/spec";
import type { Handle, NativeDevice } from "./native-binding.js";
import { NativeBuffer } from "./native-buffer.js";

/** Decoded commands in native memory. */
export class NativeCommandList implements RecordedCommands {
  #handle: Handle | undefined;

  constructor(
    readonly device: DeviceId,
    readonly length: number,
    readonly byteLength: number,
    handle: Handle,
    private readonly onDispose: (handle: Handle) => void,
  ) {
    this.#handle = handle;
  }

  /** @throws AssertionError after disposal. */
  get handle(): Handle {
    assert(this.#handle !== undefined, `a command list of ${this.device} is used after it was disposed`);
    return this.#handle;
  }

  /** Submissions that were made before go on. Idempotent. */
  [Symbol.dispose](): void {
    if (this.#handle === undefined) return;
    this.onDispose(this.#handle);
    this.#handle = undefined;
  }
}

/** What the encoder needs of its backend. */
export interface RecordingBackend {
  readonly id: DeviceId;
  readonly traits: BackendTraits;
  readonly native: NativeDevice;
  owns(buffer: NativeBuffer): boolean;
  /** Wraps a new list, so that disposing it reaches the addon as long as that is there. */
  wrapList(handle: Handle, length: number): NativeCommandList;
}

/** Operands that may, or must, lie in the packed layout. */
const packedOperands: Readonly<Record<string, "may" | "must">> = {
  "embed.table": "may",
  "matmul.weight": "must",
  "expertMatmul.weight": "must",
};

export class NativeEncoder extends CommandEncoder {
  readonly #commands: Command[] = [];

  constructor(private readonly backend: RecordingBackend) {
    super(backend.id, (op, dtype) => backend.traits.supports(op, dtype));
  }

  protected override emit(command: Command): void {
    const { op } = command;
    for (const [field, tensor] of tensorsOf(command)) this.#check(op, field, tensor);
    const takesWorkspace = op === "sample" || op === "matmul" || op === "expertMatmul";
    if (takesWorkspace && command.workspace === undefined && this.#needsWorkspace(command))
      throw new InvalidCommandError(op, "workspace", "is absent; this backend needs what traits.workspaceByteLength says");
    this.#commands.push(command);
  }

  protected override finishList(): NativeCommandList {
    const counters: Int32Array[] = [];
    const handles: HandleResolver = {
      handleOfTensor: ({ buffer }) => (buffer as NativeBuffer).handle,
      handleOfSignal(signal) {
        const known = counters.indexOf(signal.counters);
        return known >= 0 ? known : counters.push(signal.counters) - 1;
      },
    };
    const { words, numbers } = packCommands(this.#commands, handles);
    return this.backend.wrapList(this.backend.native.createList(words, numbers, counters), this.#commands.length);
  }

  /** Rows do not matter: an op that takes workspace at all takes some for each. */
  #needsWorkspace(command: CommandOf<"sample" | "matmul" | "expertMatmul">): boolean {
    const { op } = command;
    const { dtype, shape } = op === "sample" ? command.logits : command.weight;
    const experts = op === "expertMatmul" ? { experts: command.expertSlots.shape[0] as number } : {};
    return this.backend.traits.workspaceByteLength({ op, dtype, rows: 1, columns: shape.at(-1) as number, ...experts }) > 0;
  }

  #check(op: string, field: string, tensor: Tensor): void {
    const { buffer, layout, shape } = tensor;
    assert(buffer instanceof NativeBuffer && this.backend.owns(buffer), `${op}: ${field} lies in a buffer of another backend`);
    const packing = packedOperands[`${op}.${field}`];
    if (layout === "packed" && packing === undefined) throw new InvalidCommandError(op, field, "is packed; a plain tensor is needed");
    if (layout === "plain" && packing === "must")
      throw new InvalidCommandError(op, field, "is plain; the layout that `load` stores is needed");
    if (shape.length > maxTensorRank)
      throw new InvalidCommandError(op, field, `has ${shape.length} dimensions, ${maxTensorRank} are the most`);
  }
}
