/** Takes commands down with their draft tensors; runs the same checks as a real encoder, so a draft fails where a recording would. */
import { AssertionError, type BackendTraits, type Command, CommandEncoder, type CommandList, type DeviceId } from "@thermocline/spec";

export class DraftEncoder extends CommandEncoder {
  readonly commands: Command[] = [];
  /** For each command the unit that it is for. */
  readonly units: string[] = [];
  /** Stretches between waits and signals so far: the index of the one that the next command falls into. */
  numStretches = 0;

  constructor(
    device: DeviceId,
    supports: BackendTraits["supports"],
    private readonly currentUnit: () => string,
  ) {
    super(device, supports);
  }

  /** Takes over what another encoder of this device has taken down so far. */
  append({ commands, units, numStretches }: DraftEncoder): void {
    for (const command of commands) this.commands.push(command);
    for (const unit of units) this.units.push(unit);
    this.numStretches += numStretches;
  }

  protected override emit(command: Command): void {
    if (command.op === "signal" || command.op === "wait") this.numStretches++;
    this.commands.push(command);
    this.units.push(this.currentUnit());
  }

  protected override finishList(): CommandList {
    throw new AssertionError("a draft is bound, not finished");
  }
}
