// Bytes of scratch memory that ops take by size rather than by shape: `workspaceByteLength` of src/traits.ts says the same.
#pragma once
#include <cstdint>

#include "thermocline/kernel_table.h"

namespace thermocline {

// Activations [rows, columns] quantised in blocks of 32: 32 bytes, a float scale and an int32 sum each. None for weights of floats.
static constexpr int64_t matmul_workspace_bytes(DType weight, int64_t rows, int64_t columns) {
  return weight == DType::q8_0 || weight == DType::q4_0 ? rows * (columns / 32) * 40 : 0;
}

// As for a matmul with a row for each token and expert that it uses.
static constexpr int64_t expert_matmul_workspace_bytes(DType weight, int64_t rows, int64_t columns) {
  return matmul_workspace_bytes(weight, rows, columns);
}

// Of each thread: a candidate, 8 bytes, for each entry of the vocabulary.
static constexpr int64_t sample_workspace_bytes(int64_t threads, int64_t vocabulary) { return threads * vocabulary * 8; }

}  // namespace thermocline
