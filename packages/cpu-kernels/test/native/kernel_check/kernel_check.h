// What the checks of all op families share. Each op runs for every instruction set that this machine has, on one thread and on several, at
// odd shapes, on memory that ends where the tensor ends (so that a sanitizer sees one byte too many), and must
//   agree with naive f64 loops written here, within a bound derived from the number of roundings,
//   give the same bits on any number of threads, and on AVX2 and AVX-512,
//   give a token the same bits whatever else is in the batch.
#pragma once
#include <cstdint>
#include <functional>
#include <limits>
#include <random>
#include <vector>

#include "thermocline/kernel_table.h"

namespace thermocline::kernel_check {

constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr float not_a_number = std::numeric_limits<float>::quiet_NaN();
constexpr double half_ulp = 0x1p-24;

// ---- tensors.cc ----

// Every random number of a run, in the order in which main() calls the checks.
extern std::mt19937 generator;
float uniform(float low, float high);
int uniform_int(int low, int high);

struct Tensor {
  std::vector<std::byte> bytes;
  TensorView view;

  template <typename T>
  T* as() { return reinterpret_cast<T*>(bytes.data()); }
  template <typename T>
  T& at(int64_t row, int64_t column) { return as<T>()[row * view.row_stride + column]; }
};

constexpr int64_t element_bytes(DType dtype) {
  return dtype == DType::f16 || dtype == DType::bf16 ? 2 : dtype == DType::i8 ? 1 : 4;
}

// Zeros. Rows lie `gap` elements further apart than they are long; the last one ends the memory.
Tensor make(DType dtype, std::vector<int64_t> shape, int64_t gap = 0);
Tensor random_f32(std::vector<int64_t> shape, float low = -1, float high = 1, int64_t gap = 0);
Tensor from_ints(std::vector<int64_t> shape, const std::vector<int32_t>& values);
inline const TensorView absent{};

// Elements of a q8_0 or q4_0 block: as 32 values, and from 32 values as KernelSet.storeKv says. Written apart from the kernels' own.
std::vector<float> values_of_block(DType dtype, const std::byte* block);
std::vector<std::byte> block_of_values(DType dtype, const float* values);

// binary16, written apart from the kernels' own.
double half_value(uint16_t half);
uint16_t nearest_half(float value);

// ---- weight.cc ----

// A weight as a file stores it, its packed form, and its values.
struct Weight {
  std::vector<std::byte> file;
  Tensor packed;
  std::vector<float> values;  // [rows, columns]
  size_t row_bytes;
  double minimum_bound;  // no minimum of a sub-block is larger; 0 for formats without minima
};

// Random blocks with finite scales. The values of types with packed blocks are those of the portable `embed`, which the tests of the package
// compare with the reference bit for bit; those of the others are computed here.
Weight make_weight(DType dtype, int64_t rows, int64_t columns);
// A list of matrices, one packed after the other; `values` and `file` likewise.
Weight make_weights(DType dtype, int64_t matrices, int64_t rows, int64_t columns);
inline constexpr DType weight_dtypes[] = {
    DType::f32,   DType::f16,     DType::bf16,   DType::q8_0,  DType::q4_0,    DType::q4_1,  DType::q5_0,   DType::q5_1,   DType::q8_1,  DType::q2_k,
    DType::q3_k,  DType::q4_k,    DType::q5_k,   DType::q6_k,  DType::q8_k,    DType::iq1_s, DType::iq1_m,  DType::iq2_xxs, DType::iq2_xs, DType::iq2_s,
    DType::iq3_xxs, DType::iq3_s, DType::iq4_nl, DType::iq4_xs, DType::tq1_0, DType::tq2_0, DType::mxfp4, DType::nvfp4};
const char* name_of(DType dtype);
bool is_quantised(DType dtype);
// Elements of a block, at least 32 where the activations are quantised; 1 for floats.
int64_t column_unit(DType dtype);
// What a product of `rows` activations with such a weight needs.
Tensor matmul_workspace(DType dtype, int64_t rows, int64_t columns);

// ---- report.cc ----

// The checks between two calls are reported as one line; the first 5 that fail are printed.
void begin_op(const char* name);
void end_op();
int failures();

[[gnu::format(printf, 2, 3)]] void check(bool holds, const char* format, ...);
// |actual - expected| <= bound; NaN agrees with NaN. Keeps the largest share of the bound that was used.
void check_near(double actual, double expected, double bound, const char* isa, const char* what, int64_t index);

// ---- instruction_sets.cc ----

extern const Parallel serial;
extern const Parallel threaded;
// Those that this machine runs, the portable one first.
extern const std::vector<const KernelTable*> tables;
using Op = std::function<Status(const KernelTable&, const Parallel&)>;

// NaN equals NaN, whatever its payload.
bool same_bits(const std::vector<std::byte>& a, const std::vector<std::byte>& b, DType dtype);
// Runs `op(table, parallel)` for every instruction set, serially and threaded, into `out` reset to its first state; `verify(isa)` then
// looks at it. Threads must not change the bits, nor AVX-512 those of AVX2.
void for_each_isa(Tensor& out, const Op& op, const std::function<void(const char*)>& verify);
void expect_problem(const Op& op, int64_t value, int64_t limit, const char* what);

// ---- the checks, one op family a file ----

void check_pack();
void check_embed();
void check_gather_rows();
void check_norms();
void check_matmul();
void check_expert_matmul();
void check_rope();
void check_store_kv();
void check_attention();
void check_experts();
void check_mean_pool();
void check_elementwise();
void check_copies();
void check_sample();
void check_top_logprobs();

}  // namespace thermocline::kernel_check
