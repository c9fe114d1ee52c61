/**
 * Every op: its number and its fields, in the order in which they are packed. The encoder, the packed form and the C++ header that
 * native backends compile against all follow from this table, so an op is added here first.
 */

/** Named constants that travel as u32: the index in the list. */
export const enums = {
  activation: ["silu", "gelu", "relu"],
  ropeMode: ["normal", "neox"],
} as const;
export type EnumName = keyof typeof enums;

/** `tensor?` may be absent; `signal` is a counters buffer and a slot. */
export type FieldKind = "tensor" | "tensor?" | "signal" | "u32" | "f64" | EnumName;

export interface OpDefinition {
  readonly opcode: number;
  readonly fields: Readonly<Record<string, FieldKind>>;
}

export const opTable = {
  embed: { opcode: 1, fields: { out: "tensor", table: "tensor", tokenIds: "tensor", scale: "f64" } },
  gatherRows: { opcode: 2, fields: { out: "tensor", x: "tensor", rows: "tensor" } },
  rmsNorm: { opcode: 3, fields: { out: "tensor", x: "tensor", weight: "tensor", eps: "f64" } },
  layerNorm: { opcode: 4, fields: { out: "tensor", x: "tensor", weight: "tensor", bias: "tensor?", eps: "f64" } },
  matmul: { opcode: 5, fields: { out: "tensor", x: "tensor", weight: "tensor", bias: "tensor?", workspace: "tensor?" } },
  rope: {
    opcode: 6,
    fields: {
      q: "tensor",
      k: "tensor",
      positions: "tensor",
      frequencyFactors: "tensor?",
      theta: "f64",
      magnitude: "f64",
      dims: "u32",
      mode: "ropeMode",
    },
  },
  storeKv: { opcode: 7, fields: { k: "tensor", v: "tensor", keyCache: "tensor", valueCache: "tensor", slotMapping: "tensor" } },
  attention: {
    opcode: 8,
    fields: {
      out: "tensor",
      q: "tensor",
      keyCache: "tensor",
      valueCache: "tensor",
      blockTables: "tensor",
      contextLengths: "tensor",
      queryStarts: "tensor",
      scale: "f64",
      softcap: "f64",
      slidingWindow: "u32",
      causal: "u32",
    },
  },
  activate: { opcode: 9, fields: { out: "tensor", gate: "tensor", up: "tensor?", activation: "activation" } },
  add: { opcode: 10, fields: { out: "tensor", a: "tensor", b: "tensor" } },
  softcap: { opcode: 11, fields: { out: "tensor", x: "tensor", cap: "f64" } },
  sample: {
    opcode: 12,
    fields: {
      tokenIds: "tensor",
      logits: "tensor",
      params: "tensor",
      randomState: "tensor",
      editIds: "tensor",
      editValues: "tensor",
      surpriseLimits: "tensor",
      workspace: "tensor?",
    },
  },
  topLogprobs: { opcode: 13, fields: { ids: "tensor", logprobs: "tensor", logits: "tensor", sampledTokenIds: "tensor" } },
  fill: { opcode: 14, fields: { out: "tensor", value: "f64" } },
  copy: { opcode: 15, fields: { to: "tensor", from: "tensor" } },
  signal: { opcode: 16, fields: { signal: "signal" } },
  wait: { opcode: 17, fields: { signal: "signal" } },
  routeExperts: { opcode: 18, fields: { expertIds: "tensor", expertWeights: "tensor", logits: "tensor", normalize: "u32" } },
  expertMatmul: {
    opcode: 19,
    fields: { out: "tensor", x: "tensor", weight: "tensor", expertIds: "tensor", expertSlots: "tensor", workspace: "tensor?" },
  },
  combineExperts: { opcode: 20, fields: { out: "tensor", x: "tensor", expertWeights: "tensor" } },
  meanPool: { opcode: 21, fields: { out: "tensor", x: "tensor", queryStarts: "tensor" } },
} as const satisfies Record<string, OpDefinition>;

export type OpName = keyof typeof opTable;
export const opNames = Object.keys(opTable) as readonly OpName[];
