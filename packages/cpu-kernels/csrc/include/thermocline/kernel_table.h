// The kernels of one instruction set, as plain function pointers over resolved tensors. Shapes and formulas: KernelSet of @thermocline/spec.
#pragma once
#include <cstdint>

#include "thermocline/tensor_view.h"

namespace thermocline {

// Runs `body` over [0, items) in ranges of at most `grain`, on the pool's threads, and returns when all are done. Which thread takes
// which range is not determined, so a body may depend on `thread` (0 … threads - 1) only to find its own scratch memory.
struct Parallel {
  using Body = void (*)(void* context, int64_t first, int64_t last, int thread);
  void* pool;
  int threads;
  void (*run)(void* pool, int64_t items, int64_t grain, Body body, void* context);
};

// What a kernel found wrong with the values it read (a token id outside the table, a slot outside the cache). `problem` is static text.
struct Status {
  const char* problem = nullptr;
  int64_t value = 0;
  int64_t limit = 0;
  bool ok() const { return problem == nullptr; }
};

struct KernelTable {
  const char* isa;  // "scalar", "avx2", "avx512"
  Status (*embed)(const TensorView& out, const TensorView& table, const TensorView& token_ids, double scale, const Parallel&);
  Status (*gather_rows)(const TensorView& out, const TensorView& x, const TensorView& rows, const Parallel&);
  Status (*rms_norm)(const TensorView& out, const TensorView& x, const TensorView& weight, double eps, const Parallel&);
  Status (*layer_norm)(const TensorView& out, const TensorView& x, const TensorView& weight, const TensorView& bias, double eps, const Parallel&);
  Status (*matmul)(const TensorView& out, const TensorView& x, const TensorView& weight, const TensorView& bias, const TensorView& workspace, const Parallel&);
  Status (*rope)(const TensorView& q, const TensorView& k, const TensorView& positions, const TensorView& frequency_factors, double theta, double magnitude, uint32_t dims, RopeMode mode, const Parallel&);
  Status (*store_kv)(const TensorView& k, const TensorView& v, const TensorView& key_cache, const TensorView& value_cache, const TensorView& slot_mapping, const Parallel&);
  Status (*attention)(const TensorView& out, const TensorView& q, const TensorView& key_cache, const TensorView& value_cache, const TensorView& block_tables, const TensorView& context_lengths, const TensorView& query_starts, double scale, double softcap, uint32_t sliding_window, uint32_t causal, const Parallel&);
  Status (*activate)(const TensorView& out, const TensorView& gate, const TensorView& up, Activation activation, const Parallel&);
  Status (*add)(const TensorView& out, const TensorView& a, const TensorView& b, const Parallel&);
  Status (*softcap)(const TensorView& out, const TensorView& x, double cap, const Parallel&);
  Status (*sample)(const TensorView& token_ids, const TensorView& logits, const TensorView& params, const TensorView& random_state, const TensorView& edit_ids, const TensorView& edit_values, const TensorView& surprise_limits, const TensorView& workspace, const Parallel&);
  Status (*top_logprobs)(const TensorView& ids, const TensorView& logprobs, const TensorView& logits, const TensorView& sampled_token_ids, const Parallel&);
  Status (*route_experts)(const TensorView& expert_ids, const TensorView& expert_weights, const TensorView& logits, uint32_t normalize, const Parallel&);
  Status (*expert_matmul)(const TensorView& out, const TensorView& x, const TensorView& weight, const TensorView& expert_ids, const TensorView& expert_slots, const TensorView& workspace, const Parallel&);
  Status (*combine_experts)(const TensorView& out, const TensorView& x, const TensorView& expert_weights, const Parallel&);
  Status (*mean_pool)(const TensorView& out, const TensorView& x, const TensorView& query_starts, const Parallel&);
  Status (*fill)(const TensorView& out, double value, const Parallel&);
  Status (*copy)(const TensorView& to, const TensorView& from, const Parallel&);
  // No op: reads lines of 64 bytes, for the bandwidth probe. What it returns depends on every byte.
  uint32_t (*read_memory)(const std::byte* data, int64_t num_lines);
};

extern const KernelTable scalar_kernels;
#if defined(__x86_64__)
extern const KernelTable avx2_kernels;    // AVX2, FMA, F16C
extern const KernelTable avx512_kernels;  // AVX-512 F, BW, DQ, VL, VNNI
#endif

// A weight in the file's own form, and where its packed form goes. Packing is the same for every instruction set.
struct PackSource {
  const std::byte* bytes;  // rows of `row_bytes` each, the rows in `row_ranges` only, one after the other
  DType dtype;
  int64_t columns;      // of the file's rows
  size_t row_bytes;
};

// Bytes of [rows, columns] in the packed layout: rows are padded to a multiple of `rows_per_group`.
inline constexpr int64_t rows_per_group = 16;
size_t packed_byte_length(DType dtype, int64_t rows, int64_t columns);
bool can_pack(DType dtype);

// Packs rows [first_row, first_row + num_rows) of a packed tensor with `total_rows` rows from `source.bytes`, keeping only the column
// ranges given (pairs first, count in elements; whole blocks). first_row is a multiple of rows_per_group. The padding rows of the last
// group are zero.
void pack_rows(const PackSource& source, const int64_t* column_ranges, int64_t num_column_ranges, int64_t first_row, int64_t num_rows, std::byte* packed);

}  // namespace thermocline
