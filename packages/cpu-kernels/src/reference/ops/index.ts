/** The kernel of every op that computes. */
import type { OpName } from "@thermocline/spec";
import { activate } from "./activate.js";
import { attention } from "./attention.js";
import { add, copy, fill, softcap } from "./elementwise.js";
import { embed } from "./embed.js";
import { combineExperts, expertMatmul, routeExperts } from "./experts.js";
import { gatherRows } from "./gather-rows.js";
import type { Kernel } from "./kernel.js";
import { storeKv } from "./kv-cache.js";
import { matmul } from "./matmul.js";
import { meanPool } from "./mean-pool.js";
import { layerNorm, rmsNorm } from "./norm.js";
import { rope } from "./rope.js";
import { sample } from "./sampling/sample.js";
import { topLogprobs } from "./top-logprobs.js";

export type KernelName = Exclude<OpName, "signal" | "wait">;

export const kernels: { readonly [O in KernelName]: Kernel<O> } = {
  embed,
  gatherRows,
  rmsNorm,
  layerNorm,
  matmul,
  rope,
  storeKv,
  attention,
  activate,
  add,
  softcap,
  sample,
  topLogprobs,
  routeExperts,
  expertMatmul,
  combineExperts,
  meanPool,
  fill,
  copy,
};
