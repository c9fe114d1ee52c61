import { assert, type Command, CommandEncoder, type DeviceId, type RecordedCommands } from "@thermocline/spec";
import { referenceTraits } from "./traits.js";

// A command is an object of about ten references, and its tensors and shapes belong to the caller.
const estimatedBytesPerCommand = 96;

/** Command objects as they were recorded. */
export class ReferenceCommandList implements RecordedCommands {
  readonly length: number;
  /** An estimate: a JavaScript engine does not tell. */
  readonly byteLength: number;
  #commands: readonly Command[] | undefined;

  constructor(
    readonly device: DeviceId,
    commands: readonly Command[],
  ) {
    this.length = commands.length;
    this.byteLength = commands.length * estimatedBytesPerCommand;
    this.#commands = commands;
  }

  /** @throws AssertionError after disposal. */
  get commands(): readonly Command[] {
    assert(this.#commands !== undefined, `a command list of ${this.device} is used after it was disposed`);
    return this.#commands;
  }

  /** Submissions that were made before go on. */
  [Symbol.dispose](): void {
    this.#commands = undefined;
  }
}

export class ReferenceEncoder extends CommandEncoder {
  readonly #commands: Command[] = [];

  constructor(device: DeviceId) {
    super(device, referenceTraits.supports);
  }

  protected override emit(command: Command): void {
    this.#commands.push(command);
  }

  protected override finishList(): ReferenceCommandList {
    return new ReferenceCommandList(this.device, this.#commands);
  }
}
