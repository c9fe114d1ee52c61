// Bytes of scratch memory that ops take by size rather than by shape: `workspaceByteLength` of src/traits.ts says the same.
#pragma once
#include <cstdint>

#include "packed_layout.h"

namespace thermocline {

// Activations [rows, columns] quantised in blocks of 32. None for weights of floats.
static constexpr int64_t matmul_workspace_bytes(DType weight, int64_t rows, int64_t columns) {
  const Packing packing = packing_of(weight);
  if (packing == Packing::none || packing == Packing::elements) return 0;
  return rows * (columns / quant_block_columns) * quantized_block_bytes(sub_block_columns(weight));
}

// Where the parts of expert_matmul's workspace begin, in bytes.
struct ExpertWorkspace {
  int64_t products;     // 24 bytes for each expert of the layer
  int64_t rows;         // an int32 for each row: a token and one of its experts
  int64_t activations;  // of each row, as for a matmul
  int64_t byte_length;
};

static constexpr ExpertWorkspace expert_workspace(DType weight, int64_t rows, int64_t columns, int64_t experts) {
  const int64_t activations = 24 * experts + 4 * rows;
  return {0, 24 * experts, activations, activations + matmul_workspace_bytes(weight, rows, columns)};
}

// Of each thread: a candidate, 8 bytes, for each entry of the vocabulary.
static constexpr int64_t sample_workspace_bytes(int64_t threads, int64_t vocabulary) { return threads * vocabulary * 8; }

}  // namespace thermocline
