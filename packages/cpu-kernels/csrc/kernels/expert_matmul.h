// expert_matmul: out [T, U, N] = x [T, K] or [T, U, K] · weight[slot]ᵀ, slot = expert_slots[expert_ids[t, u]]; zeros where the slot is -1.
//
// The rows (token, rank) are sorted by expert, so that a step reads an expert's weights once. An output element has the bits of a matmul.
#pragma once
#include "matmul.h"

namespace thermocline::THERMOCLINE_ISA {
namespace {

// Calls visit(row, expert, slot) for each row, in order.
template <typename Visit>
inline void for_each_expert_row(const TensorView& expert_ids, const TensorView& expert_slots, const Visit& visit) {
  const int64_t ranks = expert_ids.shape[1];
  for (int64_t t = 0; t < expert_ids.shape[0]; t++) {
    for (int64_t u = 0; u < ranks; u++) {
      const int32_t expert = row_of<const int32_t>(expert_ids, t)[u];
      visit(t * ranks + u, expert, *row_of<const int32_t>(expert_slots, expert));
    }
  }
}

inline Status check_experts(const TensorView& expert_ids, const TensorView& expert_slots, int64_t num_slots) {
  const int64_t num_experts = expert_slots.shape[0];
  for (int64_t t = 0; t < expert_ids.shape[0]; t++) {
    for (int64_t u = 0; u < expert_ids.shape[1]; u++) {
      const int32_t expert = row_of<const int32_t>(expert_ids, t)[u];
      if (expert < 0 || expert >= num_experts) return {"expert outside the layer", expert, num_experts};
      const int32_t slot = *row_of<const int32_t>(expert_slots, expert);
      if (slot < -1 || slot >= num_slots) return {"expert slot outside the weight", slot, num_slots};
    }
  }
  return {};
}

// Fills `products` [number of experts] and `sorted_rows` [rows]; returns the number of experts that have rows here.
inline int64_t sort_rows_by_expert(Product* products, int32_t* sorted_rows, const TensorView& expert_ids, const TensorView& expert_slots,
                                   const std::byte* weight, int64_t slot_bytes) {
  const int64_t num_experts = expert_slots.shape[0];
  for (int64_t expert = 0; expert < num_experts; expert++) products[expert] = {nullptr, 0, 0};
  for_each_expert_row(expert_ids, expert_slots, [&](int64_t, int32_t expert, int32_t slot) {
    if (slot < 0) return;
    products[expert].weight = weight + slot * slot_bytes;
    products[expert].count++;
  });
  int64_t num_rows = 0;
  for (int64_t expert = 0; expert < num_experts; expert++) {
    products[expert].first = num_rows;
    num_rows += products[expert].count;
    products[expert].count = 0;
  }
  for_each_expert_row(expert_ids, expert_slots, [&](int64_t row, int32_t expert, int32_t slot) {
    if (slot >= 0) sorted_rows[products[expert].first + products[expert].count++] = static_cast<int32_t>(row);
  });
  int64_t num_products = 0;
  for (int64_t expert = 0; expert < num_experts; expert++)
    if (products[expert].count > 0) products[num_products++] = products[expert];
  return num_products;
}

inline Status expert_matmul(const TensorView& out, const TensorView& x, const TensorView& weight, const TensorView& expert_ids,
                            const TensorView& expert_slots, const TensorView& workspace, const Parallel& parallel) {
  if (weight.layout != Layout::packed) return {"expert_matmul's weight is not packed", 0, 0};
  const int64_t ranks = out.shape[1];
  const int64_t num_rows = out.shape[2];
  const int64_t columns = weight.shape[2];
  const int64_t num_experts = expert_slots.shape[0];
  if (out.shape[0] == 0 || ranks == 0 || num_rows == 0) return {};
  Status status = check_experts(expert_ids, expert_slots, weight.shape[0]);
  if (status.problem != nullptr) return status;
  const ExpertWorkspace places = expert_workspace(weight.dtype, out.shape[0] * ranks, columns, num_experts);
  status = check_workspace(workspace, places.byte_length);
  if (status.problem != nullptr) return status;

  static_assert(sizeof(Product) == 24);
  Product* products = reinterpret_cast<Product*>(workspace.data + places.products);
  int32_t* sorted_rows = reinterpret_cast<int32_t*>(workspace.data + places.rows);
  const int64_t slot_bytes = (num_rows + rows_per_group - 1) / rows_per_group * packed_group_bytes(weight.dtype, columns);
  const int64_t num_products = sort_rows_by_expert(products, sorted_rows, expert_ids, expert_slots, weight.data, slot_bytes);
  for_each_expert_row(expert_ids, expert_slots, [&](int64_t row, int32_t, int32_t slot) {
    if (slot < 0) memset(row_of<float>(out, row / ranks) + row % ranks * num_rows, 0, sizeof(float) * static_cast<size_t>(num_rows));
  });
  const RowMap rows{reinterpret_cast<const float*>(x.data),
                    x.row_stride,
                    x.rank == 3 ? columns : 0,
                    reinterpret_cast<float*>(out.data),
                    out.row_stride,
                    num_rows,
                    ranks,
                    sorted_rows};
  return multiply({products, num_products, weight.dtype, num_rows, columns, nullptr, rows}, workspace.data + places.activations, parallel);
}

}  // namespace
}  // namespace thermocline::THERMOCLINE_ISA
