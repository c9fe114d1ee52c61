/** Tensors and an encoder that keeps commands, for tests of recording and packing. */
import {
  type Command,
  CommandEncoder,
  createMemoryLedger,
  type DeviceBuffer,
  type DType,
  type OpName,
  type RecordedCommands,
  type Tensor,
} from "../src/index.js";

export function createBuffer(device = "cpu:0", byteLength = 1 << 20): DeviceBuffer {
  const ledger = createMemoryLedger({ [device]: byteLength });
  const [reservation] = ledger.reserve([{ device, owner: "test", class: "activations", byteLength, label: "test" }]);
  return { device, byteLength, reservation: reservation!, [Symbol.dispose]: () => reservation![Symbol.dispose]() };
}

const buffer = createBuffer();

export function tensor(shape: Tensor["shape"], dtype: DType = "f32", more: Partial<Tensor> = {}): Tensor {
  return { buffer, byteOffset: 0, dtype, layout: "plain", shape, ...more };
}

export class RecordingEncoder extends CommandEncoder {
  readonly commands: Command[] = [];

  constructor(supports: (op: OpName, dtype: DType) => boolean = () => true) {
    super("cpu:0", supports);
  }

  protected override emit(command: Command): void {
    this.commands.push(command);
  }

  protected override finishList(): RecordedCommands {
    return { device: this.device, length: this.commands.length, byteLength: 0, [Symbol.dispose]() {} };
  }
}
