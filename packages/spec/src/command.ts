/** A recorded command as an object, and the packed form in which a list crosses into native code. */
import { bindingNames, type Dim, type StepSignal, type Tensor, type WeightLayout } from "./backend.js";
import { dtypes } from "./dtype.js";
import { type EnumName, enums, type FieldKind, type OpDefinition, type OpName, opTable } from "./op-table.js";

type FieldValue<K extends FieldKind> = K extends "tensor"
  ? Tensor
  : K extends "tensor?"
    ? Tensor | undefined
    : K extends "signal"
      ? StepSignal
      : K extends EnumName
        ? (typeof enums)[K][number]
        : number;

type OpFields<O extends OpName> = {
  readonly [F in keyof (typeof opTable)[O]["fields"]]: FieldValue<(typeof opTable)[O]["fields"][F] & FieldKind>;
};

/** Discriminated by `op`; the fields are those of `opTable`. A JavaScript backend executes these directly. */
export type Command = { readonly [O in OpName]: { readonly op: O } & OpFields<O> }[OpName];
export type CommandOf<O extends OpName> = Extract<Command, { op: O }>;

/** The tensors of a command with their field names, absent ones left out. */
export function tensorsOf(command: Command): readonly (readonly [field: string, tensor: Tensor])[] {
  const values = command as unknown as Record<string, Tensor | undefined>;
  const tensors: [string, Tensor][] = [];
  for (const field of tensorFields.get(command.op)!) {
    const tensor = values[field];
    if (tensor !== undefined) tensors.push([field, tensor]);
  }
  return tensors;
}

const tensorFields = new Map(
  Object.entries(opTable as Readonly<Record<string, OpDefinition>>).map(([op, { fields }]) => [
    op,
    Object.keys(fields).filter((field) => fields[field] === "tensor" || fields[field] === "tensor?"),
  ]),
);

/** 32-bit words of a packed tensor; its byte offset is one f64 beside them. */
export const wordsPerTensor = 8;
export const maxTensorRank = 4;
/** Buffer handle of an absent tensor. */
export const absentHandle = 0xffffffff;
/** Set in a packed dimension whose other bits are an index into `bindingNames`. */
export const bindingBit = 0x80000000;
export const layoutCodes = { plain: 0, packed: 1 } as const satisfies Record<WeightLayout, number>;

const wordBytes = Uint32Array.BYTES_PER_ELEMENT;
const numberBytes = Float64Array.BYTES_PER_ELEMENT;
/** Opcode and the two lengths. */
const wordsPerHeader = 3;

function fieldByteLength(kind: FieldKind): number {
  if (kind === "tensor" || kind === "tensor?") return wordsPerTensor * wordBytes + numberBytes;
  if (kind === "signal") return 2 * wordBytes;
  return kind === "f64" ? numberBytes : wordBytes;
}

const commandByteLengths = new Map(
  Object.entries(opTable).map(([op, { fields }]) => [
    op,
    Object.values(fields).reduce((sum, kind) => sum + fieldByteLength(kind), wordsPerHeader * wordBytes),
  ]),
);

/** Bytes of a command's words and numbers in the packed form: the op alone decides, as absent tensors take their place too. */
export function packedCommandByteLength(op: OpName): number {
  return commandByteLengths.get(op)!;
}

/** One list: every command is its opcode and the two lengths, then its words; its numbers lie in the second array. */
export interface PackedCommands {
  readonly words: Uint32Array;
  readonly numbers: Float64Array;
}

/** Turns buffers and signal counters into the numbers by which the native side knows them. */
export interface HandleResolver {
  handleOfTensor(tensor: Tensor): number;
  handleOfSignal(signal: StepSignal): number;
}

/**
 * words, for each command: opcode, number of words that follow, number of f64s, then the fields in table order:
 *   tensor: handle, dtype | layout << 8 | rank << 16, 4 dimensions (unused ones 1), row stride in elements (0: contiguous), 0
 *   signal: handle, slot;   u32 and enums: 1 word
 * numbers: tensor: byte offset;   f64: itself
 */
export function packCommands(commands: readonly Command[], handles: HandleResolver): PackedCommands {
  const words: number[] = [];
  const numbers: number[] = [];
  for (const command of commands) {
    const { opcode, fields } = opTable[command.op] as OpDefinition;
    const header = words.length;
    const firstNumber = numbers.length;
    words.push(opcode, 0, 0);
    for (const [field, kind] of Object.entries(fields)) {
      packField(kind, (command as unknown as Record<string, unknown>)[field], words, numbers, handles);
    }
    words[header + 1] = words.length - header - 3;
    words[header + 2] = numbers.length - firstNumber;
  }
  return { words: Uint32Array.from(words), numbers: Float64Array.from(numbers) };
}

function packField(kind: FieldKind, value: unknown, words: number[], numbers: number[], handles: HandleResolver): void {
  switch (kind) {
    case "tensor":
    case "tensor?":
      packTensor(value as Tensor | undefined, words, numbers, handles);
      break;
    case "signal":
      words.push(handles.handleOfSignal(value as StepSignal), (value as StepSignal).slot);
      break;
    case "u32":
      words.push(value as number);
      break;
    case "f64":
      numbers.push(value as number);
      break;
    default:
      words.push((enums[kind] as readonly string[]).indexOf(value as string));
  }
}

function packTensor(tensor: Tensor | undefined, words: number[], numbers: number[], handles: HandleResolver): void {
  if (tensor === undefined) {
    words.push(absentHandle, 0, 0, 0, 0, 0, 0, 0);
    numbers.push(0);
    return;
  }
  const { dtype, layout, shape, rowStride = 0, byteOffset } = tensor;
  words.push(handles.handleOfTensor(tensor), dtypes[dtype].ggmlType | (layoutCodes[layout] << 8) | (shape.length << 16));
  for (let axis = 0; axis < maxTensorRank; axis++) words.push(axis < shape.length ? packDim(shape[axis]!) : 1);
  words.push(rowStride, 0);
  numbers.push(byteOffset);
}

function packDim(dim: Dim): number {
  return typeof dim === "number" ? dim : (bindingBit | bindingNames.indexOf(dim)) >>> 0;
}
