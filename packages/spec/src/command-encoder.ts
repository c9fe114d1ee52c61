/** The recording half of every backend: checks an op's operands once, then hands the command to `emit`. */
import { type CommandList, type Dim, type RecordedCommands, type StepSignal, type Tensor, workspaceAlignment } from "./backend.js";
import type { Command } from "./command.js";
import type { DType } from "./dtype.js";
import { InvalidCommandError, UnsupportedOpError } from "./errors.js";
import type { AttentionArgs, Encoder, RopeArgs, SampleArgs } from "./kernel-set.js";
import type { DeviceId } from "./memory.js";
import type { Activation } from "./model-source.js";
import type { OpName } from "./op-table.js";
import { samplingColumns } from "./sampling.js";

type Operand = readonly [field: string, tensor: Tensor | undefined, shape: readonly (Dim | "any")[], dtype?: DType];

export abstract class CommandEncoder implements Encoder {
  #finished = false;

  constructor(
    protected readonly device: DeviceId,
    private readonly supports: (op: OpName, dtype: DType) => boolean,
  ) {}

  /** Keeps one checked command. */
  protected abstract emit(command: Command): void;
  /** Makes the list of what was emitted; `finish` hands it out as a CommandList. */
  protected abstract finishList(): RecordedCommands;

  embed(out: Tensor, table: Tensor, tokenIds: Tensor, scale = 1): void {
    const [numTokens, hiddenSize] = this.#matrix("embed", "out", out);
    this.#check("embed", table.dtype, [
      ["out", out, [numTokens, hiddenSize], "f32"],
      ["table", table, ["any", hiddenSize]],
      ["tokenIds", tokenIds, [numTokens], "i32"],
    ]);
    this.#emit({ op: "embed", out, table, tokenIds, scale });
  }

  gatherRows(out: Tensor, x: Tensor, rows: Tensor): void {
    const [numRows, columns] = this.#matrix("gatherRows", "out", out);
    this.#check("gatherRows", "f32", [
      ["out", out, [numRows, columns], "f32"],
      ["x", x, ["any", columns], "f32"],
      ["rows", rows, [numRows], "i32"],
    ]);
    this.#emit({ op: "gatherRows", out, x, rows });
  }

  rmsNorm(out: Tensor, x: Tensor, weight: Tensor, eps: number): void {
    this.#checkNorm("rmsNorm", out, x, weight, undefined);
    this.#emit({ op: "rmsNorm", out, x, weight, eps });
  }

  layerNorm(out: Tensor, x: Tensor, weight: Tensor, bias: Tensor | undefined, eps: number): void {
    this.#checkNorm("layerNorm", out, x, weight, bias);
    this.#emit({ op: "layerNorm", out, x, weight, bias, eps });
  }

  matmul(out: Tensor, x: Tensor, weight: Tensor, options: { readonly bias?: Tensor; readonly workspace?: Tensor } = {}): void {
    const [numRows, numColumns] = this.#matrix("matmul", "out", out);
    const [, innerSize] = this.#matrix("matmul", "weight", weight);
    const { bias, workspace } = options;
    this.#check("matmul", weight.dtype, [
      ["out", out, [numRows, numColumns], "f32"],
      ["x", x, [numRows, innerSize], "f32"],
      ["weight", weight, [numColumns, innerSize]],
      ["bias", bias, [numColumns], "f32"],
      ["workspace", workspace, ["any"], "i8"],
    ]);
    this.#checkWorkspace("matmul", workspace);
    this.#emit({ op: "matmul", out, x, weight, bias, workspace });
  }

  rope(q: Tensor, k: Tensor, positions: Tensor, args: RopeArgs): void {
    const { theta, dims, mode, frequencyFactors, magnitude = 1 } = args;
    const numTokens = q.shape[0]!;
    this.#check("rope", "f32", [
      ["q", q, [numTokens, "any", "any"], "f32"],
      ["k", k, [numTokens, "any", q.shape[2]!], "f32"],
      ["positions", positions, [numTokens], "i32"],
      ["frequencyFactors", frequencyFactors, [dims / 2], "f32"],
    ]);
    const headDim = q.shape[2] as number;
    if (dims % 2 !== 0 || dims > headDim)
      throw new InvalidCommandError("rope", "dims", `is ${dims}; it must be even and at most the head's ${headDim}`);
    this.#emit({ op: "rope", q, k, positions, frequencyFactors, theta, magnitude, dims, mode });
  }

  storeKv(k: Tensor, v: Tensor, keyCache: Tensor, valueCache: Tensor, slotMapping: Tensor): void {
    const [numTokens, numKvHeads] = k.shape as [Dim, Dim];
    const [numBlocks, , blockSize] = keyCache.shape as [Dim, Dim, Dim];
    this.#supported("storeKv", valueCache.dtype);
    this.#check("storeKv", keyCache.dtype, [
      ["k", k, [numTokens, numKvHeads, "any"], "f32"],
      ["v", v, [numTokens, numKvHeads, "any"], "f32"],
      ["keyCache", keyCache, [numBlocks, numKvHeads, blockSize, k.shape[2]!]],
      ["valueCache", valueCache, [numBlocks, numKvHeads, blockSize, v.shape[2]!]],
      ["slotMapping", slotMapping, [numTokens], "i32"],
    ]);
    this.#emit({ op: "storeKv", k, v, keyCache, valueCache, slotMapping });
  }

  attention(out: Tensor, q: Tensor, args: AttentionArgs): void {
    const { keyCache, valueCache, blockTables, contextLengths, queryStarts, scale, softcap = 0, slidingWindow = 0, causal = true } = args;
    const [numTokens, numHeads, headDimK] = q.shape as [Dim, Dim, Dim];
    const [numBlocks, numKvHeads, blockSize] = keyCache.shape as [Dim, Dim, Dim];
    const numSequences = contextLengths.shape[0]!;
    this.#supported("attention", valueCache.dtype);
    this.#check("attention", keyCache.dtype, [
      ["out", out, [numTokens, numHeads, "any"], "f32"],
      ["q", q, [numTokens, numHeads, headDimK], "f32"],
      ["keyCache", keyCache, [numBlocks, numKvHeads, blockSize, headDimK]],
      ["valueCache", valueCache, [numBlocks, numKvHeads, blockSize, out.shape[2]!]],
      ["blockTables", blockTables, [numSequences, "any"], "i32"],
      ["contextLengths", contextLengths, [numSequences], "i32"],
      ["queryStarts", queryStarts, ["any"], "i32"],
    ]);
    if ((numHeads as number) % (numKvHeads as number) !== 0)
      throw new InvalidCommandError("attention", "q", `has ${numHeads} heads, no multiple of the ${numKvHeads} KV heads`);
    this.#emit({
      op: "attention",
      out,
      q,
      keyCache,
      valueCache,
      blockTables,
      contextLengths,
      queryStarts,
      scale,
      softcap,
      slidingWindow,
      causal: Number(causal),
    });
  }

  activate(out: Tensor, gate: Tensor, up: Tensor | undefined, activation: Activation): void {
    const [numRows, numColumns] = this.#matrix("activate", "out", out);
    this.#check("activate", "f32", [
      ["out", out, [numRows, numColumns], "f32"],
      ["gate", gate, [numRows, numColumns], "f32"],
      ["up", up, [numRows, numColumns], "f32"],
    ]);
    this.#emit({ op: "activate", out, gate, up, activation });
  }

  add(out: Tensor, a: Tensor, b: Tensor): void {
    const [numRows, numColumns] = this.#matrix("add", "out", out);
    this.#check("add", "f32", [
      ["out", out, [numRows, numColumns], "f32"],
      ["a", a, [numRows, numColumns], "f32"],
      ["b", b, [numRows, numColumns], "f32"],
    ]);
    this.#emit({ op: "add", out, a, b });
  }

  softcap(out: Tensor, x: Tensor, cap: number): void {
    const [numRows, numColumns] = this.#matrix("softcap", "out", out);
    this.#check("softcap", "f32", [
      ["out", out, [numRows, numColumns], "f32"],
      ["x", x, [numRows, numColumns], "f32"],
    ]);
    this.#emit({ op: "softcap", out, x, cap });
  }

  sample(tokenIds: Tensor, logits: Tensor, args: SampleArgs): void {
    const [numRows] = this.#matrix("sample", "logits", logits);
    const { params, randomState, editIds, editValues, surpriseLimits, workspace } = args;
    const numEdits = editIds.shape[1] as number;
    this.#check("sample", "f32", [
      ["tokenIds", tokenIds, [numRows], "i32"],
      ["logits", logits, [numRows, "any"], "f32"],
      ["params", params, [numRows, samplingColumns.length], "f32"],
      ["randomState", randomState, [numRows, 2], "i32"],
      ["editIds", editIds, [numRows, "any"], "i32"],
      ["editValues", editValues, [numRows, 2 * numEdits], "f32"],
      ["surpriseLimits", surpriseLimits, [numRows], "f32"],
      ["workspace", workspace, ["any"], "i8"],
    ]);
    this.#checkWorkspace("sample", workspace);
    this.#emit({ op: "sample", tokenIds, logits, params, randomState, editIds, editValues, surpriseLimits, workspace });
  }

  topLogprobs(ids: Tensor, logprobs: Tensor, logits: Tensor, sampledTokenIds: Tensor): void {
    const [numRows, count] = this.#matrix("topLogprobs", "ids", ids);
    this.#check("topLogprobs", "f32", [
      ["ids", ids, [numRows, count], "i32"],
      ["logprobs", logprobs, [numRows, count], "f32"],
      ["logits", logits, [numRows, "any"], "f32"],
      ["sampledTokenIds", sampledTokenIds, [numRows], "i32"],
    ]);
    this.#emit({ op: "topLogprobs", ids, logprobs, logits, sampledTokenIds });
  }

  routeExperts(expertIds: Tensor, expertWeights: Tensor, logits: Tensor, options: { readonly normalize: boolean }): void {
    const [numTokens, numExperts] = this.#matrix("routeExperts", "logits", logits);
    const [, numUsed] = this.#matrix("routeExperts", "expertIds", expertIds);
    this.#check("routeExperts", "f32", [
      ["expertIds", expertIds, [numTokens, numUsed], "i32"],
      ["expertWeights", expertWeights, [numTokens, numUsed], "f32"],
      ["logits", logits, [numTokens, numExperts], "f32"],
    ]);
    if (!((numUsed as number) >= 1 && (numUsed as number) <= (numExperts as number)))
      throw new InvalidCommandError("routeExperts", "expertIds", `has ${numUsed} columns; 1 to ${numExperts} experts can be used`);
    this.#emit({ op: "routeExperts", expertIds, expertWeights, logits, normalize: Number(options.normalize) });
  }

  expertMatmul(
    out: Tensor,
    x: Tensor,
    weight: Tensor,
    options: { readonly expertIds: Tensor; readonly expertSlots: Tensor; readonly workspace?: Tensor },
  ): void {
    const { expertIds, expertSlots, workspace } = options;
    const [numTokens, numUsed] = this.#matrix("expertMatmul", "expertIds", expertIds);
    const [, numColumns, innerSize] = weight.shape as [Dim, Dim, Dim];
    const isShared = x.shape.length === 2;
    this.#check("expertMatmul", weight.dtype, [
      ["out", out, [numTokens, numUsed, numColumns], "f32"],
      ["x", x, isShared ? [numTokens, innerSize] : [numTokens, numUsed, innerSize], "f32"],
      ["weight", weight, ["any", numColumns, innerSize]],
      ["expertIds", expertIds, [numTokens, numUsed], "i32"],
      ["expertSlots", expertSlots, ["any"], "i32"],
      ["workspace", workspace, ["any"], "i8"],
    ]);
    this.#checkWorkspace("expertMatmul", workspace);
    this.#emit({ op: "expertMatmul", out, x, weight, expertIds, expertSlots, workspace });
  }

  combineExperts(out: Tensor, x: Tensor, expertWeights: Tensor): void {
    const [numTokens, numColumns] = this.#matrix("combineExperts", "out", out);
    const [, numUsed] = this.#matrix("combineExperts", "expertWeights", expertWeights);
    this.#check("combineExperts", "f32", [
      ["out", out, [numTokens, numColumns], "f32"],
      ["x", x, [numTokens, numUsed, numColumns], "f32"],
      ["expertWeights", expertWeights, [numTokens, numUsed], "f32"],
    ]);
    this.#emit({ op: "combineExperts", out, x, expertWeights });
  }

  meanPool(out: Tensor, x: Tensor, queryStarts: Tensor): void {
    const [numSequences, numColumns] = this.#matrix("meanPool", "out", out);
    this.#check("meanPool", "f32", [
      ["out", out, [numSequences, numColumns], "f32"],
      ["x", x, ["any", numColumns], "f32"],
      ["queryStarts", queryStarts, ["any"], "i32"],
    ]);
    this.#emit({ op: "meanPool", out, x, queryStarts });
  }

  fill(out: Tensor, value: number): void {
    this.#check("fill", "f32", [["out", out, out.shape, "f32"]]);
    this.#emit({ op: "fill", out, value });
  }

  copy(to: Tensor, from: Tensor): void {
    this.#check("copy", from.dtype, [
      ["to", to, from.shape, from.dtype],
      ["from", from, from.shape, from.dtype],
    ]);
    this.#emit({ op: "copy", to, from });
  }

  signal(signal: StepSignal): void {
    this.#emit({ op: "signal", signal });
  }

  wait(signal: StepSignal): void {
    this.#emit({ op: "wait", signal });
  }

  finish(): CommandList {
    this.#refuseWhenFinished();
    this.#finished = true;
    return this.finishList() as CommandList;
  }

  #checkNorm(op: "rmsNorm" | "layerNorm", out: Tensor, x: Tensor, weight: Tensor, bias: Tensor | undefined): void {
    // Heads are normed each for itself: the last axis is what is normed, whatever lies before it.
    if (out.shape.length !== 3) this.#matrix(op, "out", out);
    const numColumns = out.shape.at(-1)!;
    this.#check(op, "f32", [
      ["out", out, out.shape, "f32"],
      ["x", x, out.shape, "f32"],
      ["weight", weight, [numColumns], "f32"],
      ["bias", bias, [numColumns], "f32"],
    ]);
  }

  #checkWorkspace(op: OpName, workspace: Tensor | undefined): void {
    if (workspace !== undefined && workspace.byteOffset % workspaceAlignment !== 0)
      throw new InvalidCommandError(op, "workspace", `lies at byte ${workspace.byteOffset}, no multiple of ${workspaceAlignment}`);
  }

  #matrix(op: OpName, field: string, tensor: Tensor): readonly [Dim, Dim] {
    if (tensor.shape.length !== 2) throw new InvalidCommandError(op, field, `has shape [${tensor.shape}]; a matrix is needed`);
    return tensor.shape as unknown as readonly [Dim, Dim];
  }

  #check(op: OpName, dtype: DType, operands: readonly Operand[]): void {
    this.#supported(op, dtype);
    for (const operand of operands) {
      // Read by index: drafts check tens of thousands of operands before anything is compiled, and destructuring runs an iterator.
      const field = operand[0];
      const tensor = operand[1];
      const shape = operand[2];
      const wantedDType = operand[3];
      if (tensor === undefined) continue;
      if (!hasShape(tensor, shape)) throw new InvalidCommandError(op, field, `has shape [${tensor.shape}], [${shape}] is needed`);
      if (wantedDType !== undefined && tensor.dtype !== wantedDType)
        throw new InvalidCommandError(op, field, `is ${tensor.dtype}, ${wantedDType} is needed`);
      if (tensor.buffer.device !== this.device)
        throw new InvalidCommandError(op, field, `lies on ${tensor.buffer.device}, the list is for ${this.device}`);
      // Kernels read vectors as consecutive elements; only rows of matrices may lie apart.
      if (shape.length === 1 && tensor.rowStride !== undefined && tensor.rowStride !== 1)
        throw new InvalidCommandError(op, field, `is a vector with a row stride of ${tensor.rowStride}; a contiguous one is needed`);
    }
  }

  #supported(op: OpName, dtype: DType): void {
    if (!this.supports(op, dtype)) throw new UnsupportedOpError(this.device, op, dtype);
  }

  #refuseWhenFinished(): void {
    if (this.#finished) throw new InvalidCommandError("finish", "encoder", "was finished already");
  }

  #emit(command: Command): void {
    this.#refuseWhenFinished();
    this.emit(command);
  }
}

/** Records a command that another encoder took down, on this one. */
export function recordCommand(encoder: Encoder, command: Command): void {
  switch (command.op) {
    case "embed":
      encoder.embed(command.out, command.table, command.tokenIds, command.scale);
      break;
    case "gatherRows":
      encoder.gatherRows(command.out, command.x, command.rows);
      break;
    case "rmsNorm":
      encoder.rmsNorm(command.out, command.x, command.weight, command.eps);
      break;
    case "layerNorm":
      encoder.layerNorm(command.out, command.x, command.weight, command.bias, command.eps);
      break;
    case "matmul":
      encoder.matmul(command.out, command.x, command.weight, command);
      break;
    case "rope":
      encoder.rope(command.q, command.k, command.positions, command);
      break;
    case "storeKv":
      encoder.storeKv(command.k, command.v, command.keyCache, command.valueCache, command.slotMapping);
      break;
    case "attention":
      encoder.attention(command.out, command.q, { ...command, causal: command.causal !== 0 });
      break;
    case "activate":
      encoder.activate(command.out, command.gate, command.up, command.activation);
      break;
    case "add":
      encoder.add(command.out, command.a, command.b);
      break;
    case "softcap":
      encoder.softcap(command.out, command.x, command.cap);
      break;
    case "sample":
      encoder.sample(command.tokenIds, command.logits, command);
      break;
    case "topLogprobs":
      encoder.topLogprobs(command.ids, command.logprobs, command.logits, command.sampledTokenIds);
      break;
    case "routeExperts":
      encoder.routeExperts(command.expertIds, command.expertWeights, command.logits, { normalize: command.normalize !== 0 });
      break;
    case "expertMatmul":
      encoder.expertMatmul(command.out, command.x, command.weight, command);
      break;
    case "combineExperts":
      encoder.combineExperts(command.out, command.x, command.expertWeights);
      break;
    case "meanPool":
      encoder.meanPool(command.out, command.x, command.queryStarts);
      break;
    case "fill":
      encoder.fill(command.out, command.value);
      break;
    case "copy":
      encoder.copy(command.to, command.from);
      break;
    case "signal":
      encoder.signal(command.signal);
      break;
    case "wait":
      encoder.wait(command.signal);
      break;
  }
}

function hasShape({ shape }: Tensor, wanted: Operand[2]): boolean {
  if (shape.length !== wanted.length) return false;
  for (let axis = 0; axis < wanted.length; axis++) if (wanted[axis] !== "any" && wanted[axis] !== shape[axis]) return false;
  return true;
}
