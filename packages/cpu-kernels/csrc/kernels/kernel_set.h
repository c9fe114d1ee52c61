// Every kernel, for the vocabulary that was included before this file, as one KernelTable.
#pragma once
#include "attention.h"
#include "elementwise.h"
#include "embedding.h"
#include "expert_matmul.h"
#include "experts.h"
#include "norm.h"
#include "pooling.h"
#include "read_memory.h"
#include "rope.h"
#include "sampling.h"
#include "top_logprobs.h"

namespace thermocline::THERMOCLINE_ISA {
namespace {

constexpr KernelTable make_kernel_table(const char* isa) {
  return {
      .isa = isa,
      .embed = embed,
      .gather_rows = gather_rows,
      .rms_norm = rms_norm,
      .layer_norm = layer_norm,
      .matmul = matmul,
      .rope = rope,
      .store_kv = store_kv,
      .attention = attention,
      .activate = activate,
      .add = add_tensors,
      .softcap = softcap,
      .sample = sample,
      .top_logprobs = top_logprobs,
      .route_experts = route_experts,
      .expert_matmul = expert_matmul,
      .combine_experts = combine_experts,
      .mean_pool = mean_pool,
      .fill = fill,
      .copy = copy,
      .read_memory = read_memory,
  };
}

}  // namespace
}  // namespace thermocline::THERMOCLINE_ISA
