// Checks every kernel of every instruction set that this machine has. Each op runs on one thread and on several, at odd shapes, on memory
// that ends where the tensor ends (so that a sanitizer sees one byte too many), and must
//   agree with naive f64 loops written here, within a bound derived from the number of roundings,
//   give the same bits on any number of threads, and on AVX2 and AVX-512,
//   give a token the same bits whatever else is in the batch.
// One line an op; exits 1 where anything failed.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <functional>
#include <limits>
#include <numeric>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "thermocline/kernel_table.h"

using namespace thermocline;

namespace {

// ---- threads ----

void run_serially(void*, int64_t items, int64_t grain, Parallel::Body body, void* context) {
  for (int64_t first = 0; first < items; first += grain) body(context, first, std::min(items, first + grain), 0);
}

void run_on_threads(void*, int64_t items, int64_t grain, Parallel::Body body, void* context) {
  std::atomic<int64_t> next{0};
  const auto work = [&](int thread) {
    for (int64_t first; (first = next.fetch_add(grain)) < items;) body(context, first, std::min(items, first + grain), thread);
  };
  std::vector<std::thread> threads;
  for (int thread = 1; thread < 3; thread++) threads.emplace_back(work, thread);
  work(0);
  for (std::thread& thread : threads) thread.join();
}

const Parallel serial{nullptr, 1, run_serially};
const Parallel threaded{nullptr, 3, run_on_threads};

// ---- tensors ----

std::mt19937 generator{20240229};

constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr float not_a_number = std::numeric_limits<float>::quiet_NaN();
constexpr double half_ulp = 0x1p-24;

float uniform(float low, float high) { return std::uniform_real_distribution<float>(low, high)(generator); }
int uniform_int(int low, int high) { return std::uniform_int_distribution<int>(low, high)(generator); }

struct Tensor {
  std::vector<std::byte> bytes;
  TensorView view;

  template <typename T>
  T* as() { return reinterpret_cast<T*>(bytes.data()); }
  template <typename T>
  T& at(int64_t row, int64_t column) { return as<T>()[row * view.row_stride + column]; }
};

constexpr int64_t element_bytes(DType dtype) { return dtype == DType::f16 ? 2 : dtype == DType::i8 ? 1 : 4; }

// Rows lie `gap` elements further apart than they are long; the last one ends the memory.
Tensor make(DType dtype, std::vector<int64_t> shape, int64_t gap = 0) {
  Tensor tensor;
  int64_t columns = 1;
  for (size_t axis = 0; axis < shape.size(); axis++) {
    tensor.view.shape[axis] = shape[axis];
    if (axis > 0) columns *= shape[axis];
  }
  tensor.view.rank = static_cast<uint32_t>(shape.size());
  tensor.view.dtype = dtype;
  tensor.view.row_stride = columns + gap;
  const int64_t elements = shape[0] == 0 ? 0 : (shape[0] - 1) * (columns + gap) + columns;
  tensor.bytes.assign(static_cast<size_t>(std::max<int64_t>(1, elements * element_bytes(dtype))), std::byte{0});
  tensor.bytes.shrink_to_fit();
  tensor.view.data = tensor.bytes.data();
  return tensor;
}

Tensor random_f32(std::vector<int64_t> shape, float low = -1, float high = 1, int64_t gap = 0) {
  Tensor tensor = make(DType::f32, shape, gap);
  float* values = tensor.as<float>();
  for (size_t i = 0; i < tensor.bytes.size() / 4; i++) values[i] = uniform(low, high);
  return tensor;
}

Tensor from_ints(std::vector<int64_t> shape, const std::vector<int32_t>& values) {
  Tensor tensor = make(DType::i32, shape);
  memcpy(tensor.bytes.data(), values.data(), values.size() * 4);
  return tensor;
}

const TensorView absent{};

// ---- binary16, written apart from the kernels' own ----

double half_value(uint16_t half) {
  const int exponent = half >> 10 & 31;
  const int mantissa = half & 1023;
  const double magnitude = exponent == 31   ? (mantissa != 0 ? std::nan("") : infinity)
                           : exponent == 0 ? std::ldexp(mantissa, -24)
                                           : std::ldexp(1024 + mantissa, exponent - 25);
  return (half & 0x8000) != 0 ? -magnitude : magnitude;
}

// Nearest half by bisection over the ordered positive halves; ties go to the even one.
uint16_t nearest_half(float value) {
  const uint16_t sign = std::signbit(value) ? 0x8000 : 0;
  const double magnitude = std::fabs(static_cast<double>(value));
  if (magnitude >= 65520) return sign | 0x7c00;
  int low = 0, high = 0x7c00;
  while (high - low > 1) (half_value(static_cast<uint16_t>((low + high) / 2)) <= magnitude ? low : high) = (low + high) / 2;
  if (low == 0x7bff) return sign | 0x7bff;
  const double below = magnitude - half_value(static_cast<uint16_t>(low));
  const double above = half_value(static_cast<uint16_t>(high)) - magnitude;
  const int nearest = below < above || (below == above && low % 2 == 0) ? low : high;
  return sign | static_cast<uint16_t>(nearest);
}

// ---- reporting ----

int num_failures = 0;
std::string current_op;
int failures_of_op = 0;
int64_t checks_of_op = 0;
double worst_of_op = 0;

[[gnu::format(printf, 2, 3)]] void check(bool holds, const char* format, ...) {
  checks_of_op++;
  if (holds) return;
  if (++failures_of_op > 5) return;
  va_list arguments;
  va_start(arguments, format);
  printf("  FAILED %s: ", current_op.c_str());
  vprintf(format, arguments);
  printf("\n");
  va_end(arguments);
}

// |actual - expected| <= bound; NaN agrees with NaN. Keeps the largest share of the bound that was used.
void check_near(double actual, double expected, double bound, const char* isa, const char* what, int64_t index) {
  const bool same = actual == expected || (std::isnan(actual) && std::isnan(expected));
  const double error = std::fabs(actual - expected);
  if (!same && bound > 0) worst_of_op = std::max(worst_of_op, error / bound);
  check(same || error <= bound, "%s %s [%lld]: %.9g, expected %.9g ± %.3g", isa, what, static_cast<long long>(index), actual, expected, bound);
}

void begin_op(const char* name) {
  current_op = name;
  failures_of_op = 0;
  checks_of_op = 0;
  worst_of_op = 0;
}

void end_op() {
  printf("%-14s %9lld checks, at most %3.0f %% of the bound, %s\n", current_op.c_str(), static_cast<long long>(checks_of_op), 100 * worst_of_op,
         failures_of_op == 0 ? "ok" : "FAILED");
  num_failures += failures_of_op;
}

// ---- instruction sets ----

std::vector<const KernelTable*> available_tables() {
  std::vector<const KernelTable*> tables{&scalar_kernels};
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c")) tables.push_back(&avx2_kernels);
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni"))
    tables.push_back(&avx512_kernels);
#endif
  return tables;
}
const std::vector<const KernelTable*> tables = available_tables();

bool same_bits(const std::vector<std::byte>& a, const std::vector<std::byte>& b, DType dtype) {
  if (a.size() != b.size()) return false;
  if (dtype != DType::f32) return a == b;
  const float* x = reinterpret_cast<const float*>(a.data());
  const float* y = reinterpret_cast<const float*>(b.data());
  for (size_t i = 0; i < a.size() / 4; i++)
    if (memcmp(x + i, y + i, 4) != 0 && !(std::isnan(x[i]) && std::isnan(y[i]))) return false;
  return true;
}

// Runs `op(table, parallel)` for every instruction set, serially and threaded, into `out` reset to its first state; `verify(isa)` then
// looks at it. Threads must not change the bits, nor AVX-512 those of AVX2.
void for_each_isa(Tensor& out, const std::function<Status(const KernelTable&, const Parallel&)>& op, const std::function<void(const char*)>& verify) {
  const std::vector<std::byte> initial = out.bytes;
  const auto reset = [&] { memcpy(out.bytes.data(), initial.data(), initial.size()); };
  std::vector<std::byte> vector_bits;
  for (const KernelTable* table : tables) {
    reset();
    const Status on_threads = op(*table, threaded);
    const std::vector<std::byte> threaded_bits = out.bytes;
    reset();
    const Status status = op(*table, serial);
    check(status.ok() && on_threads.ok(), "%s: %s (%lld, limit %lld)", table->isa, status.problem, static_cast<long long>(status.value),
          static_cast<long long>(status.limit));
    check(same_bits(out.bytes, threaded_bits, out.view.dtype), "%s: threads change the result", table->isa);
    verify(table->isa);
    if (table == tables.front()) continue;
    if (!vector_bits.empty()) check(same_bits(out.bytes, vector_bits, out.view.dtype), "%s differs from the other vector instruction set", table->isa);
    vector_bits = out.bytes;
  }
  reset();
}

void expect_problem(const std::function<Status(const KernelTable&, const Parallel&)>& op, int64_t value, int64_t limit, const char* what) {
  for (const KernelTable* table : tables) {
    const Status status = op(*table, serial);
    check(!status.ok() && status.value == value && status.limit == limit, "%s: %s gives %s (%lld, %lld)", table->isa, what,
          status.ok() ? "no problem" : status.problem, static_cast<long long>(status.value), static_cast<long long>(status.limit));
  }
}

// ---- weights ----

// A weight as a file stores it, its packed form, and its values.
struct Weight {
  std::vector<std::byte> file;
  Tensor packed;
  std::vector<float> values;  // [rows, columns]
  size_t row_bytes;
};

Weight make_weight(DType dtype, int64_t rows, int64_t columns) {
  Weight weight;
  const int64_t block_bytes = dtype == DType::q4_0 ? 18 : 34;
  const bool quantised = dtype == DType::q4_0 || dtype == DType::q8_0;
  weight.row_bytes = static_cast<size_t>(quantised ? columns / 32 * block_bytes : columns * element_bytes(dtype));
  weight.file.resize(weight.row_bytes * static_cast<size_t>(rows));
  for (int64_t row = 0; row < rows; row++) {
    std::byte* bytes = weight.file.data() + static_cast<size_t>(row) * weight.row_bytes;
    for (int64_t column = 0; column < columns; column += quantised ? 32 : 1) {
      if (dtype == DType::f32) {
        const float value = uniform(-1, 1);
        memcpy(bytes + 4 * column, &value, 4);
        weight.values.push_back(value);
      } else if (dtype == DType::f16) {
        const uint16_t half = nearest_half(uniform(-1, 1));
        memcpy(bytes + 2 * column, &half, 2);
        weight.values.push_back(static_cast<float>(half_value(half)));
      } else {
        std::byte* block = bytes + column / 32 * block_bytes;
        const uint16_t scale = nearest_half(uniform(-0.1f, 0.1f));
        memcpy(block, &scale, 2);
        float values[32];
        for (int i = 0; i < block_bytes - 2; i++) {
          // The extremes often: they are where an integer dot would saturate.
          const int byte = uniform_int(0, 3) == 0 ? (dtype == DType::q4_0 ? 0xff : (uniform_int(0, 1) != 0 ? 0x80 : 0x7f)) : uniform_int(0, 255);
          block[2 + i] = static_cast<std::byte>(byte);
          if (dtype == DType::q4_0) {
            values[i] = static_cast<float>((byte & 15) - 8);
            values[i + 16] = static_cast<float>((byte >> 4) - 8);
          } else {
            values[i] = static_cast<float>(static_cast<int8_t>(byte));
          }
        }
        for (const float value : values) weight.values.push_back(value * static_cast<float>(half_value(scale)));
      }
    }
  }
  weight.packed.bytes.resize(packed_byte_length(dtype, rows, columns));
  const int64_t all[2] = {0, columns};
  // In two calls, as a loader that works in pieces does.
  const int64_t cut = std::min<int64_t>(rows, 32);
  pack_rows({weight.file.data(), dtype, columns, weight.row_bytes}, all, 1, 0, cut, weight.packed.bytes.data());
  if (rows > cut)
    pack_rows({weight.file.data() + static_cast<size_t>(cut) * weight.row_bytes, dtype, columns, weight.row_bytes}, all, 1, cut, rows - cut,
              weight.packed.bytes.data());
  TensorView& view = weight.packed.view;
  view = TensorView{weight.packed.bytes.data(), dtype, Layout::packed, 2, {rows, columns, 1, 1}, columns};
  return weight;
}

const DType weight_dtypes[] = {DType::f32, DType::f16, DType::q8_0, DType::q4_0};
const char* name_of(DType dtype) {
  return dtype == DType::f32 ? "f32" : dtype == DType::f16 ? "f16" : dtype == DType::q8_0 ? "q8_0" : "q4_0";
}
bool is_quantised(DType dtype) { return dtype == DType::q8_0 || dtype == DType::q4_0; }

void check_pack() {
  begin_op("pack");
  for (const DType dtype : weight_dtypes) {
    // Columns 32-95 and 128-159 of 160, rows in a last group that is not full: the embedding of the packed slice must be the slice.
    const int64_t rows = 37;
    Weight whole = make_weight(dtype, rows, 160);
    const int64_t ranges[4] = {32, 64, 128, 32};
    Tensor packed;
    packed.bytes.assign(packed_byte_length(dtype, rows, 96), std::byte{0xee});
    pack_rows({whole.file.data(), dtype, 160, whole.row_bytes}, ranges, 2, 0, rows, packed.bytes.data());
    packed.view = TensorView{packed.bytes.data(), dtype, Layout::packed, 2, {rows, 96, 1, 1}, 96};
    std::vector<int32_t> ids(rows);
    std::iota(ids.begin(), ids.end(), 0);
    Tensor token_ids = from_ints({rows}, ids);
    Tensor out = make(DType::f32, {rows, 96});
    scalar_kernels.embed(out.view, packed.view, token_ids.view, serial);
    for (int64_t row = 0; row < rows; row++)
      for (int64_t column = 0; column < 96; column++) {
        const float expected = whole.values[static_cast<size_t>(row * 160 + (column < 64 ? 32 + column : 64 + column))];
        check(out.at<float>(row, column) == expected, "%s [%d, %d] of a slice", name_of(dtype), int(row), int(column));
      }
    check(can_pack(dtype), "%s must be packable", name_of(dtype));
  }
  check(!can_pack(DType::q4_k) && packed_byte_length(DType::q4_k, 16, 256) == 0, "q4_k is not packed");
  end_op();
}

// ---- matmul ----

// Σ over k of |terms| and of terms, with the activations as the kernel quantises them; `quantisation` bounds what that step loses.
struct Product { double sum, magnitude, quantisation; };

Product multiply(const float* x, const float* weight, int64_t columns, bool quantised) {
  Product product{0, 0, 0};
  for (int64_t base = 0; base < columns; base += 32) {
    const int64_t end = std::min(columns, base + 32);
    float largest = 0;
    for (int64_t k = base; k < end; k++) largest = std::max(largest, std::fabs(x[k]));
    const float inverse = 127.0f / largest;
    const float scale = largest / 127.0f;
    for (int64_t k = base; k < end; k++) {
      const double exact = static_cast<double>(x[k]) * weight[k];
      const double used = !quantised ? exact : largest == 0 ? 0 : static_cast<double>(std::nearbyint(x[k] * inverse)) * scale * weight[k];
      product.sum += used;
      product.magnitude += std::fabs(used);
      product.quantisation += quantised ? std::fabs(weight[k]) * scale * 0.5001 : 0;
    }
  }
  return product;
}

Tensor matmul_workspace(int64_t tokens, int64_t columns) { return make(DType::i8, {std::max<int64_t>(1, tokens * (columns / 32) * 40)}); }

void check_matmul_case(DType dtype, int64_t tokens, int64_t rows, int64_t columns, bool with_bias) {
  Weight weight = make_weight(dtype, rows, columns);
  Tensor x = random_f32({tokens, columns}, -2, 2, 3);
  // One token of zeros in each batch, and one with a wide range.
  if (tokens > 2)
    for (int64_t k = 0; k < columns; k++) {
      x.at<float>(1, k) = 0;
      x.at<float>(2, k) = std::ldexp(uniform(-1, 1), uniform_int(-30, 10));
    }
  Tensor bias = random_f32({rows});
  Tensor workspace = matmul_workspace(tokens, columns);
  Tensor out = random_f32({tokens, rows}, 5, 6, 5);
  const Tensor before = out;
  const TensorView& bias_view = with_bias ? bias.view : absent;
  const bool quantised = is_quantised(dtype);
  const auto run = [&](const KernelTable& table, const Parallel& parallel) {
    return table.matmul(out.view, x.view, weight.packed.view, bias_view, quantised ? workspace.view : absent, parallel);
  };
  // Roundings on the way of a term: one fma a block or a column of its accumulator (two without fma), scales, joining, bias.
  const double roundings = 2.0 * static_cast<double>(quantised ? columns / 32 : columns / 4) + 8;
  for_each_isa(out, run, [&](const char* isa) {
    for (int64_t t = 0; t < tokens; t++)
      for (int64_t row = 0; row < rows; row++) {
        const Product product = multiply(&x.at<float>(t, 0), &weight.values[static_cast<size_t>(row * columns)], columns, quantised);
        const double shift = with_bias ? bias.as<float>()[row] : 0;
        // The values of a quantised weight are themselves rounded products: one more rounding.
        const double bound = half_ulp * roundings * (product.magnitude + std::fabs(shift)) + 1e-37;
        check_near(out.at<float>(t, row), product.sum + shift, bound, isa, name_of(dtype), t * rows + row);
        if (quantised) {
          const Product exact = multiply(&x.at<float>(t, 0), &weight.values[static_cast<size_t>(row * columns)], columns, false);
          check(std::fabs(out.at<float>(t, row) - exact.sum - shift) <= product.quantisation + bound, "%s %s: quantisation loses too much", isa, name_of(dtype));
        }
      }
    for (int64_t t = 0; t + 1 < tokens; t++)
      for (int64_t gap = 0; gap < 5; gap++)
        check(memcmp(out.as<float>() + t * (rows + 5) + rows + gap, before.bytes.data() + 4 * (t * (rows + 5) + rows + gap), 4) == 0, "%s wrote past a row", isa);
  });
}

// A token's outputs have the same bits in every batch.
void check_matmul_tiles(DType dtype) {
  const int64_t rows = 40, columns = 96, most = 33;
  Weight weight = make_weight(dtype, rows, columns);
  Tensor x = random_f32({most, columns});
  Tensor workspace = matmul_workspace(most, columns);
  for (const KernelTable* table : tables) {
    Tensor alone = make(DType::f32, {most, rows});
    for (int64_t t = 0; t < most; t++) {
      TensorView x_row = x.view, out_row = alone.view;
      x_row.data += 4 * t * columns;
      out_row.data += 4 * t * rows;
      x_row.shape[0] = out_row.shape[0] = 1;
      table->matmul(out_row, x_row, weight.packed.view, absent, workspace.view, serial);
    }
    for (const int64_t tokens : {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 32, 33}) {
      Tensor out = make(DType::f32, {tokens, rows});
      TensorView x_rows = x.view;
      x_rows.shape[0] = tokens;
      table->matmul(out.view, x_rows, weight.packed.view, absent, workspace.view, tokens % 2 == 0 ? threaded : serial);
      check(memcmp(out.bytes.data(), alone.bytes.data(), static_cast<size_t>(4 * tokens * rows)) == 0, "%s %s: a batch of %d changes a token", table->isa,
            name_of(dtype), int(tokens));
    }
  }
}

void check_matmul() {
  begin_op("matmul");
  for (const DType dtype : weight_dtypes) {
    const bool quantised = is_quantised(dtype);
    check_matmul_case(dtype, 1, 1, quantised ? 32 : 1, false);
    check_matmul_case(dtype, 3, 17, quantised ? 32 : 7, true);
    check_matmul_case(dtype, 5, 16, quantised ? 64 : 66, false);
    check_matmul_case(dtype, 9, 49, quantised ? 160 : 155, true);
    check_matmul_case(dtype, 15, 100, 256, false);
    check_matmul_case(dtype, 1, 333, 512, true);
    check_matmul_tiles(dtype);

    // NaN or infinity in a token makes that token's outputs NaN (or infinite), no other's.
    Weight weight = make_weight(dtype, 20, 64);
    Tensor x = random_f32({3, 64});
    x.at<float>(1, 40) = not_a_number;
    x.at<float>(2, 3) = -infinity;
    Tensor workspace = matmul_workspace(3, 64);
    Tensor out = make(DType::f32, {3, 20});
    for_each_isa(out, [&](const KernelTable& table, const Parallel& parallel) { return table.matmul(out.view, x.view, weight.packed.view, absent, workspace.view, parallel); },
                 [&](const char* isa) {
                   for (int64_t row = 0; row < 20; row++) {
                     check(std::isfinite(out.at<float>(0, row)), "%s: NaN leaks into another token", isa);
                     check(std::isnan(out.at<float>(1, row)), "%s %s: NaN is lost", isa, name_of(dtype));
                     check(!std::isfinite(out.at<float>(2, row)), "%s %s: infinity is lost", isa, name_of(dtype));
                   }
                 });

    // No tokens: nothing to do. Values too small for an inverse scale: zeros.
    x.view.shape[0] = out.view.shape[0] = 0;
    for (const KernelTable* table : tables) check(table->matmul(out.view, x.view, weight.packed.view, absent, workspace.view, serial).ok(), "no tokens");
    if (quantised) {
      Tensor tiny = random_f32({1, 64}, -1e-38f, 1e-38f);
      Tensor small = make(DType::f32, {1, 20});
      for_each_isa(small, [&](const KernelTable& table, const Parallel& parallel) { return table.matmul(small.view, tiny.view, weight.packed.view, absent, workspace.view, parallel); },
                   [&](const char* isa) {
                     for (int64_t row = 0; row < 20; row++) check(small.at<float>(0, row) == 0, "%s: tiny activations give %g", isa, small.at<float>(0, row));
                   });
      Tensor too_small = make(DType::i8, {79});
      expect_problem([&](const KernelTable& table, const Parallel& parallel) { return table.matmul(small.view, tiny.view, weight.packed.view, absent, too_small.view, parallel); },
                     79, 80, "a workspace that is too small");
    }
  }
  end_op();
}

// ---- embed, gather_rows ----

void check_embed() {
  begin_op("embed");
  for (const DType dtype : weight_dtypes)
    for (const bool packed : {true, false}) {
      const int64_t rows = 35, columns = is_quantised(dtype) ? 96 : 51;
      Weight weight = make_weight(dtype, rows, columns);
      TensorView table = packed ? weight.packed.view : TensorView{weight.file.data(), dtype, Layout::plain, 2, {rows, columns, 1, 1}, columns};
      Tensor ids = from_ints({4}, {34, 0, 17, 34});
      Tensor out = make(DType::f32, {4, columns}, 2);
      for_each_isa(out, [&](const KernelTable& kernels, const Parallel& parallel) { return kernels.embed(out.view, table, ids.view, parallel); },
                   [&](const char* isa) {
                     for (int64_t t = 0; t < 4; t++)
                       for (int64_t i = 0; i < columns; i++)
                         check(out.at<float>(t, i) == weight.values[static_cast<size_t>(ids.as<int32_t>()[t] * columns + i)], "%s %s %s [%d, %d]", isa,
                               name_of(dtype), packed ? "packed" : "plain", int(t), int(i));
                   });
      for (const int32_t id : {-1, 35}) {
        Tensor bad = from_ints({4}, {3, id, 4, 5});
        expect_problem([&](const KernelTable& kernels, const Parallel& parallel) { return kernels.embed(out.view, table, bad.view, parallel); }, id, rows, "a token id outside the table");
      }
    }
  end_op();
}

void check_gather_rows() {
  begin_op("gather_rows");
  Tensor x = random_f32({5, 19}, -1, 1, 4);
  Tensor rows = from_ints({3}, {4, 0, 4});
  Tensor out = make(DType::f32, {3, 19}, 1);
  for_each_isa(out, [&](const KernelTable& table, const Parallel& parallel) { return table.gather_rows(out.view, x.view, rows.view, parallel); },
               [&](const char* isa) {
                 for (int64_t r = 0; r < 3; r++)
                   for (int64_t i = 0; i < 19; i++) check(out.at<float>(r, i) == x.at<float>(rows.as<int32_t>()[r], i), "%s [%d, %d]", isa, int(r), int(i));
               });
  Tensor bad = from_ints({3}, {0, 5, 1});
  expect_problem([&](const KernelTable& table, const Parallel& parallel) { return table.gather_rows(out.view, x.view, bad.view, parallel); }, 5, 5, "a row outside the input");
  end_op();
}

// ---- norms ----

void check_norms() {
  for (const bool layer : {false, true}) {
    begin_op(layer ? "layer_norm" : "rms_norm");
    for (const int64_t n : {1, 15, 16, 63, 64, 65, 100, 777, 4096})
      for (const bool with_bias : {false, true}) {
        const int64_t tokens = 7;
        // A mean away from 0 is what makes one-pass variances fail.
        Tensor x = random_f32({tokens, n}, layer ? 9 : -3, layer ? 11 : 3, 2);
        Tensor weight = random_f32({n}), bias = random_f32({n});
        Tensor out = make(DType::f32, {tokens, n}, 1);
        const double eps = 1e-5;
        for_each_isa(
            out,
            [&](const KernelTable& table, const Parallel& parallel) {
              return layer ? table.layer_norm(out.view, x.view, weight.view, with_bias ? bias.view : absent, eps, parallel)
                           : table.rms_norm(out.view, x.view, weight.view, eps, parallel);
            },
            [&](const char* isa) {
              for (int64_t t = 0; t < tokens; t++) {
                double mean = 0, squares = 0, largest = 0;
                for (int64_t i = 0; i < n; i++) mean += layer ? x.at<float>(t, i) / static_cast<double>(n) : 0;
                for (int64_t i = 0; i < n; i++) {
                  squares += std::pow(x.at<float>(t, i) - mean, 2) / static_cast<double>(n);
                  largest = std::max(largest, std::fabs(static_cast<double>(x.at<float>(t, i))));
                }
                const double inverse = 1 / std::sqrt(squares + eps);
                // Additions one after the other in a sum, two roundings each without fma; the mean carries its error into every element.
                const double additions = 2 * (static_cast<double>(n) / 64 + 7);
                for (int64_t i = 0; i < n; i++) {
                  const double scaled = (x.at<float>(t, i) - mean) * inverse;
                  const double w = weight.as<float>()[i], b = layer && with_bias ? bias.as<float>()[i] : 0;
                  const double mean_error = layer ? half_ulp * additions * largest : 0;
                  const double variance_error = mean_error * mean_error * inverse * inverse;
                  const double bound = std::fabs(w) * (mean_error * inverse + std::fabs(scaled) * (half_ulp * (additions / 2 + 6) + variance_error)) +
                                       2 * half_ulp * std::fabs(b) + 1e-9;
                  check_near(out.at<float>(t, i), scaled * w + b, bound, isa, "norm", i);
                }
              }
            });
      }
    // In place.
    Tensor x = random_f32({3, 50}), weight = random_f32({50}), apart = make(DType::f32, {3, 50});
    for (const KernelTable* table : tables) {
      Tensor in_place = x;
      in_place.view.data = in_place.bytes.data();
      if (layer) {
        table->layer_norm(apart.view, x.view, weight.view, absent, 1e-6, serial);
        table->layer_norm(in_place.view, in_place.view, weight.view, absent, 1e-6, serial);
      } else {
        table->rms_norm(apart.view, x.view, weight.view, 1e-6, serial);
        table->rms_norm(in_place.view, in_place.view, weight.view, 1e-6, serial);
      }
      check(same_bits(apart.bytes, in_place.bytes, DType::f32), "%s: in place differs", table->isa);
    }
    end_op();
  }
}

// ---- rope ----

void check_rope() {
  begin_op("rope");
  for (const RopeMode mode : {RopeMode::normal, RopeMode::neox})
    for (const int64_t head_dim : {2, 48, 80, 320})
      for (const bool with_factors : {false, true}) {
        const int64_t tokens = 5, heads = 3, kv_heads = 1;
        const uint32_t dims = static_cast<uint32_t>(head_dim == 80 ? 20 : head_dim);
        const double theta = 10000;
        Tensor q = random_f32({tokens, heads, head_dim}, -1, 1, 7), k = random_f32({tokens, kv_heads, head_dim});
        Tensor positions = from_ints({tokens}, {0, 1, 77, 4095, 1000000});
        Tensor factors = random_f32({dims / 2}, 1, 8);
        const Tensor q_before = q, k_before = k;
        const auto verify = [&](const char* isa, Tensor& x, const Tensor& before, int64_t num_heads, const char* what) {
          for (int64_t t = 0; t < tokens; t++)
            for (int64_t h = 0; h < num_heads; h++)
              for (int64_t i = 0; i < head_dim; i++) {
                const float* source = reinterpret_cast<const float*>(before.bytes.data()) + t * x.view.row_stride + h * head_dim;
                const float actual = x.at<float>(t, h * head_dim + i);
                if (i >= dims) {
                  check(actual == source[i], "%s: element %d past dims changed", isa, int(i));
                  continue;
                }
                const int64_t half = dims / 2;
                const int64_t pair = mode == RopeMode::neox ? i % half : i / 2;
                const bool second = mode == RopeMode::neox ? i >= half : i % 2 == 1;
                const double a = source[mode == RopeMode::neox ? pair : 2 * pair], b = source[mode == RopeMode::neox ? pair + half : 2 * pair + 1];
                const double angle = positions.as<int32_t>()[t] * std::pow(theta, -2.0 * static_cast<double>(pair) / dims) / (with_factors ? factors.as<float>()[pair] : 1.0);
                const double expected = second ? a * std::sin(angle) + b * std::cos(angle) : a * std::cos(angle) - b * std::sin(angle);
                // Cosine, sine, two products and a sum are rounded: at most 3 half ulps a term. 1e-9: the angle at position 10^6.
                check_near(actual, expected, 3 * half_ulp * (std::fabs(a) + std::fabs(b)) + 1e-9, isa, what, i);
              }
        };
        Tensor& out = q;
        for_each_isa(
            out,
            [&](const KernelTable& table, const Parallel& parallel) {
              memcpy(k.bytes.data(), k_before.bytes.data(), k.bytes.size());
              return table.rope(q.view, k.view, positions.view, with_factors ? factors.view : absent, theta, dims, mode, parallel);
            },
            [&](const char* isa) {
              verify(isa, q, q_before, heads, "q");
              verify(isa, k, k_before, kv_heads, "k");
            });
      }
  end_op();
}

// ---- KV cache ----

void check_store_kv() {
  begin_op("store_kv");
  for (const DType dtype : {DType::f32, DType::f16})
    for (const int64_t dim : {1, 16, 37, 80}) {
      const int64_t tokens = 6, heads = 2, blocks = 3, block_size = 4;
      Tensor k = random_f32({tokens, heads, dim}, -3, 3, 5), v = random_f32({tokens, heads, dim + 3});
      // Values that are hard to round: any bit pattern at all.
      for (int64_t i = 0; i < heads * dim; i++) {
        const uint32_t bits = generator();
        memcpy(&k.at<float>(2, i), &bits, 4);
        k.at<float>(3, i) = std::ldexp(uniform(-1, 1), uniform_int(-26, -13));
        k.at<float>(4, i) = std::ldexp(static_cast<float>(uniform_int(0, 4095)), uniform_int(-30, 5));
      }
      Tensor keys = make(dtype, {blocks, heads, block_size, dim}), values = make(dtype, {blocks, heads, block_size, dim + 3});
      Tensor slots = from_ints({tokens}, {0, 11, 5, 6, 1, 9});
      const auto verify = [&](const char* isa, Tensor& cache, Tensor& x, int64_t columns) {
        for (int64_t t = 0; t < tokens; t++)
          for (int64_t h = 0; h < heads; h++)
            for (int64_t i = 0; i < columns; i++) {
              const int64_t slot = slots.as<int32_t>()[t];
              const int64_t index = ((slot / block_size * heads + h) * block_size + slot % block_size) * columns + i;
              const float value = x.at<float>(t, h * columns + i);
              if (dtype == DType::f32) {
                check(memcmp(cache.as<float>() + index, &value, 4) == 0, "%s f32 [%d]", isa, int(index));
              } else {
                const uint16_t half = cache.as<uint16_t>()[index];
                check(std::isnan(value) ? std::isnan(half_value(half)) : half == nearest_half(value), "%s: %.9g becomes half %04x", isa, value, half);
              }
            }
      };
      std::vector<std::byte> scalar_bits;
      for_each_isa(
          keys,
          [&](const KernelTable& table, const Parallel& parallel) { return table.store_kv(k.view, v.view, keys.view, values.view, slots.view, parallel); },
          [&](const char* isa) {
            verify(isa, keys, k, dim);
            verify(isa, values, v, dim + 3);
            if (scalar_bits.empty()) scalar_bits = keys.bytes;
            check(scalar_bits == keys.bytes, "%s: rounding differs from the portable one", isa);
          });
      for (const int32_t slot : {-1, 12}) {
        Tensor bad = from_ints({tokens}, {0, 1, 2, slot, 3, 4});
        expect_problem([&](const KernelTable& table, const Parallel& parallel) { return table.store_kv(k.view, v.view, keys.view, values.view, bad.view, parallel); }, slot, 12,
                       "a slot outside the cache");
      }
    }
  end_op();
}

// ---- attention ----

// Sequences whose lengths and queries are given, with their blocks scattered over caches that hold NaN everywhere else.
struct AttentionCase {
  int64_t heads, kv_heads, dim_k, dim_v, block_size;
  std::vector<int32_t> lengths, queries;
  uint32_t window;
  DType dtype;
};

struct AttentionTensors {
  Tensor q, keys, values, tables, lengths, starts, out;
  std::vector<std::vector<float>> key_rows, value_rows;  // [sequence][position, kv head, dim] as stored
};

void put(Tensor& cache, int64_t index, float value) {
  if (cache.view.dtype == DType::f32) {
    cache.as<float>()[index] = value;
    return;
  }
  cache.as<uint16_t>()[index] = std::isnan(value) ? 0x7e00 : nearest_half(value);
}

AttentionTensors make_attention(const AttentionCase& c) {
  AttentionTensors a;
  const int64_t sequences = static_cast<int64_t>(c.lengths.size());
  int64_t tokens = 0, most_blocks = 1, all_blocks = 2;
  std::vector<int32_t> starts{0};
  for (int64_t s = 0; s < sequences; s++) {
    tokens += c.queries[static_cast<size_t>(s)];
    starts.push_back(static_cast<int32_t>(tokens));
    const int64_t blocks = (c.lengths[static_cast<size_t>(s)] + c.block_size - 1) / c.block_size;
    most_blocks = std::max(most_blocks, blocks);
    all_blocks += blocks;
  }
  starts.push_back(-99);  // more rows than sequences need
  a.starts = from_ints({sequences + 2}, starts);
  a.lengths = from_ints({sequences}, c.lengths);
  a.q = random_f32({tokens, c.heads, c.dim_k}, -1, 1, 6);
  a.out = make(DType::f32, {tokens, c.heads, c.dim_v}, 2);
  a.keys = make(c.dtype, {all_blocks, c.kv_heads, c.block_size, c.dim_k});
  a.values = make(c.dtype, {all_blocks, c.kv_heads, c.block_size, c.dim_v});
  for (int64_t i = 0; i < all_blocks * c.kv_heads * c.block_size * c.dim_k; i++) put(a.keys, i, not_a_number);
  for (int64_t i = 0; i < all_blocks * c.kv_heads * c.block_size * c.dim_v; i++) put(a.values, i, not_a_number);
  std::vector<int32_t> order(static_cast<size_t>(all_blocks));
  std::iota(order.begin(), order.end(), 0);
  std::shuffle(order.begin(), order.end(), generator);
  a.tables = from_ints({sequences, most_blocks}, std::vector<int32_t>(static_cast<size_t>(sequences * most_blocks), -1));
  size_t next_block = 0;
  for (int64_t s = 0; s < sequences; s++) {
    const int64_t length = c.lengths[static_cast<size_t>(s)];
    for (int64_t b = 0; b < (length + c.block_size - 1) / c.block_size; b++) a.tables.at<int32_t>(s, b) = order[next_block++];
    const auto fill_cache = [&](Tensor& cache, int64_t dim) {
      std::vector<float> rows;
      for (int64_t position = 0; position < length; position++)
        for (int64_t h = 0; h < c.kv_heads; h++)
          for (int64_t d = 0; d < dim; d++) {
            const int64_t block = a.tables.at<int32_t>(s, position / c.block_size);
            const float value = uniform(-2, 2);
            put(cache, ((block * c.kv_heads + h) * c.block_size + position % c.block_size) * dim + d, value);
            rows.push_back(c.dtype == DType::f16 ? static_cast<float>(half_value(nearest_half(value))) : value);
          }
      return rows;
    };
    a.key_rows.push_back(fill_cache(a.keys, c.dim_k));
    a.value_rows.push_back(fill_cache(a.values, c.dim_v));
  }
  return a;
}

void check_attention_case(const AttentionCase& c) {
  AttentionTensors a = make_attention(c);
  const double scale = 1 / std::sqrt(static_cast<double>(c.dim_k));
  const auto run = [&](const KernelTable& table, const Parallel& parallel) {
    return table.attention(a.out.view, a.q.view, a.keys.view, a.values.view, a.tables.view, a.lengths.view, a.starts.view, scale, c.window, parallel);
  };
  for_each_isa(a.out, run, [&](const char* isa) {
    for (size_t s = 0; s < c.lengths.size(); s++)
      for (int64_t query = 0; query < c.queries[s]; query++) {
        const int64_t token = a.starts.as<int32_t>()[s] + query;
        const int64_t position = c.lengths[s] - c.queries[s] + query;
        const int64_t first = c.window == 0 ? 0 : std::max<int64_t>(0, position - c.window + 1);
        for (int64_t head = 0; head < c.heads; head++) {
          const int64_t kv_head = head / (c.heads / c.kv_heads);
          std::vector<double> scores;
          double largest_sum = 0;
          for (int64_t p = first; p <= position; p++) {
            double score = 0, magnitude = 0;
            for (int64_t d = 0; d < c.dim_k; d++) {
              const double term = static_cast<double>(a.q.at<float>(token, head * c.dim_k + d)) * a.key_rows[s][static_cast<size_t>((p * c.kv_heads + kv_head) * c.dim_k + d)];
              score += term;
              magnitude += std::fabs(term);
            }
            scores.push_back(score * scale);
            largest_sum = std::max(largest_sum, magnitude * scale);
          }
          const double best = *std::max_element(scores.begin(), scores.end());
          double total = 0;
          for (double& score : scores) total += score = std::exp(score - best);
          // A score's error becomes a relative error of its weight, in the numerator and in the sum; then the roundings of one weighted
          // sum and of rescaling at each chunk.
          const double score_error = half_ulp * (2 * (static_cast<double>(c.dim_k) / 16 + 6) * largest_sum + 2 * std::fabs(best) + 2);
          const double bound = 2 * (2 * score_error + half_ulp * (2.0 * static_cast<double>(scores.size()) + 16));
          for (int64_t d = 0; d < c.dim_v; d++) {
            double expected = 0, magnitude = 0;
            for (size_t i = 0; i < scores.size(); i++) {
              const double value = a.value_rows[s][static_cast<size_t>(((first + static_cast<int64_t>(i)) * c.kv_heads + kv_head) * c.dim_v + d)];
              expected += scores[i] / total * value;
              magnitude += scores[i] / total * std::fabs(value);
            }
            check_near(a.out.at<float>(token, head * c.dim_v + d), expected, bound * magnitude + 1e-37, isa, "attention", d);
          }
        }
      }
  });

  // A sequence alone has the bits that it has in the batch.
  for (const KernelTable* table : tables) {
    run(*table, serial);
    for (size_t s = 0; s < c.lengths.size(); s++) {
      if (c.queries[s] == 0) continue;
      Tensor length = from_ints({1}, {c.lengths[s]}), starts = from_ints({2}, {0, 1});
      TensorView q = a.q.view, row = a.tables.view;
      const int64_t last = a.starts.as<int32_t>()[s + 1] - 1;
      q.data += 4 * last * q.row_stride;
      q.shape[0] = row.shape[0] = 1;
      row.data += 4 * static_cast<int64_t>(s) * row.row_stride;
      Tensor out = make(DType::f32, {1, c.heads, c.dim_v});
      const Status status = table->attention(out.view, q, a.keys.view, a.values.view, row, length.view, starts.view, scale, c.window, serial);
      check(status.ok() && memcmp(out.bytes.data(), &a.out.at<float>(last, 0), out.bytes.size()) == 0, "%s: the batch changes a sequence", table->isa);
    }
  }
}

void check_attention() {
  begin_op("attention");
  for (const DType dtype : {DType::f32, DType::f16}) {
    check_attention_case({1, 1, 1, 1, 1, {1}, {1}, 0, dtype});
    check_attention_case({8, 1, 64, 64, 16, {33, 5}, {1, 1}, 0, dtype});
    check_attention_case({6, 2, 80, 48, 16, {40, 17, 0, 16}, {40, 3, 0, 1}, 0, dtype});
    check_attention_case({7, 1, 172, 33, 8, {70}, {2}, 0, dtype});
    check_attention_case({5, 5, 128, 128, 5, {61, 19}, {4, 19}, 0, dtype});
    check_attention_case({2, 1, 512, 512, 32, {50}, {3}, 0, dtype});
    check_attention_case({4, 2, 48, 48, 16, {100, 30}, {9, 30}, 20, dtype});
    check_attention_case({2, 2, 16, 16, 7, {40}, {40}, 1, dtype});
  }

  const AttentionCase c{4, 2, 16, 16, 4, {10, 6}, {2, 3}, 0, DType::f32};
  const double scale = 0.25;
  AttentionTensors a = make_attention(c);
  const auto run = [&](const KernelTable& table, const Parallel& parallel) {
    return table.attention(a.out.view, a.q.view, a.keys.view, a.values.view, a.tables.view, a.lengths.view, a.starts.view, scale, 0, parallel);
  };
  const auto with = [&](int32_t& place, int32_t value, int64_t reported, int64_t limit, const char* what) {
    const int32_t saved = place;
    place = value;
    expect_problem(run, reported, limit, what);
    place = saved;
  };
  with(a.tables.at<int32_t>(0, 1), -1, -1, a.keys.view.shape[0], "a negative block");
  with(a.tables.at<int32_t>(1, 0), static_cast<int32_t>(a.keys.view.shape[0]), a.keys.view.shape[0], a.keys.view.shape[0], "a block outside the cache");
  with(a.lengths.as<int32_t>()[0], 13, 13, 12, "a context beyond the table");
  with(a.lengths.as<int32_t>()[1], 2, 2, 3, "a context shorter than its queries");
  with(a.starts.as<int32_t>()[0], -1, -1, 0, "a negative query start");
  with(a.starts.as<int32_t>()[2], 1, 1, 2, "descending query starts");
  with(a.starts.as<int32_t>()[2], 6, 6, 5, "query starts beyond the tokens");

  // Blocks that the window has left behind may be gone; a query whose scores are huge still sees a softmax.
  AttentionCase windowed{2, 1, 16, 16, 4, {30}, {2}, 5, DType::f32};
  AttentionTensors w = make_attention(windowed);
  for (int64_t b = 0; b < 6; b++) w.tables.at<int32_t>(0, b) = -1;
  for (int64_t i = 0; i < 32; i++) w.q.at<float>(0, i) *= 1e4f;
  for_each_isa(w.out, [&](const KernelTable& table, const Parallel& parallel) {
    return table.attention(w.out.view, w.q.view, w.keys.view, w.values.view, w.tables.view, w.lengths.view, w.starts.view, 1.0, 5, parallel);
  }, [&](const char* isa) {
    for (int64_t i = 0; i < 64; i++) check(std::isfinite(w.out.at<float>(i / 32, i % 32)), "%s: not finite behind a window", isa);
  });
  end_op();
}

// ---- elementwise ----

void check_elementwise() {
  const int64_t rows = 3;
  const auto exact = [](Activation activation, double x) {
    if (activation == Activation::relu) return x > 0 ? x : 0;
    if (activation == Activation::silu) return x / (1 + std::exp(-x));
    return x / (1 + std::exp(-2 * std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
  };
  begin_op("activate");
  for (const Activation activation : {Activation::silu, Activation::gelu, Activation::relu})
    for (const int64_t n : {1, 16, 31, 5000})
      for (const bool with_up : {false, true}) {
        Tensor gate = random_f32({rows, n}, -12, 12, 3), up = random_f32({rows, n}, -2, 2, 1), out = make(DType::f32, {rows, n}, 2);
        for (int64_t i = 0; i < n; i++) gate.at<float>(1, i) = std::ldexp(uniform(-1, 1), uniform_int(-40, 7));
        for_each_isa(
            out, [&](const KernelTable& table, const Parallel& parallel) { return table.activate(out.view, gate.view, with_up ? up.view : absent, activation, parallel); },
            [&](const char* isa) {
              for (int64_t r = 0; r < rows; r++)
                for (int64_t i = 0; i < n; i++) {
                  const double x = gate.at<float>(r, i), factor = with_up ? up.at<float>(r, i) : 1;
                  const double expected = exact(activation, x) * factor;
                  // e^-u with relative error 4 half ulps, then a sum, a quotient and a product. For gelu u itself carries 7 roundings
                  // (square, cube, two constants, two products, a sum), which move e^-u by 7 |u| where e^-u matters.
                  const double u = 1.6 * (x + 0.044715 * x * x * x);
                  const double relative = activation == Activation::relu ? half_ulp : half_ulp * (9 + (activation == Activation::gelu ? 7 * (u < 0 ? -u : 1) : 0));
                  // Below 2^-126 e^-u's inverse leaves the normal numbers.
                  check_near(out.at<float>(r, i), expected, relative * std::fabs(expected) + 1e-35 * std::fabs(factor), isa, "activate", i);
                }
            });
      }
  Tensor special = make(DType::f32, {1, 5}), special_out = make(DType::f32, {1, 5});
  const float values[5] = {not_a_number, infinity, -200, 200, 0};
  memcpy(special.bytes.data(), values, sizeof values);
  for (const Activation activation : {Activation::silu, Activation::gelu, Activation::relu})
    for_each_isa(special_out, [&](const KernelTable& table, const Parallel& parallel) { return table.activate(special_out.view, special.view, absent, activation, parallel); },
                 [&](const char* isa) {
                   const float* y = special_out.as<float>();
                   check(std::isnan(y[0]) && y[1] == infinity && y[2] == 0 && y[3] == 200 && y[4] == 0, "%s: %g %g %g %g %g", isa, y[0], y[1], y[2], y[3], y[4]);
                 });
  end_op();

  begin_op("add");
  for (const int64_t n : {1, 17, 4097}) {
    Tensor a = random_f32({rows, n}, -1, 1, 3), b = random_f32({rows, n}), out = make(DType::f32, {rows, n}, 1);
    for_each_isa(out, [&](const KernelTable& table, const Parallel& parallel) { return table.add(out.view, a.view, b.view, parallel); },
                 [&](const char* isa) {
                   for (int64_t r = 0; r < rows; r++)
                     for (int64_t i = 0; i < n; i++) check(out.at<float>(r, i) == a.at<float>(r, i) + b.at<float>(r, i), "%s [%d, %d]", isa, int(r), int(i));
                 });
  }
  end_op();

  begin_op("softcap");
  for (const double cap : {1.0, 30.0, 50.0}) {
    Tensor x = random_f32({rows, 3000}, -200, 200, 1), out = make(DType::f32, {rows, 3000});
    for (int64_t i = 0; i < 3000; i++) x.at<float>(1, i) = std::ldexp(uniform(-1, 1), uniform_int(-60, 5));
    x.at<float>(2, 0) = infinity;
    x.at<float>(2, 1) = -infinity;
    x.at<float>(2, 2) = not_a_number;
    for_each_isa(out, [&](const KernelTable& table, const Parallel& parallel) { return table.softcap(out.view, x.view, cap, parallel); },
                 [&](const char* isa) {
                   for (int64_t r = 0; r < rows; r++)
                     for (int64_t i = 0; i < 3000; i++) {
                       const double expected = cap * std::tanh(x.at<float>(r, i) / cap);
                       // Quotient, tanh (6 half ulps), product.
                       check_near(out.at<float>(r, i), expected, 9 * half_ulp * std::fabs(expected), isa, "softcap", i);
                     }
                 });
  }
  end_op();

  begin_op("fill");
  for (const int64_t gap : {0, 3}) {
    Tensor out = random_f32({4, 5, 7}, 1, 2, gap);
    const Tensor before = out;
    for_each_isa(out, [&](const KernelTable& table, const Parallel& parallel) { return table.fill(out.view, -2.5, parallel); },
                 [&](const char* isa) {
                   for (size_t i = 0; i < out.bytes.size() / 4; i++) {
                     const bool inside = static_cast<int64_t>(i) % (35 + gap) < 35;
                     check(inside ? out.as<float>()[i] == -2.5f : memcmp(out.bytes.data() + 4 * i, before.bytes.data() + 4 * i, 4) == 0, "%s [%d]", isa, int(i));
                   }
                 });
  }
  end_op();

  begin_op("copy");
  for (const DType dtype : {DType::f32, DType::f16, DType::i8, DType::i32})
    for (const int64_t gap : {0, 2}) {
      Tensor from = make(dtype, {5, 3, 11}, gap), to = make(dtype, {5, 3, 11}, 1);
      for (std::byte& byte : from.bytes) byte = static_cast<std::byte>(generator());
      for_each_isa(to, [&](const KernelTable& table, const Parallel& parallel) { return table.copy(to.view, from.view, parallel); },
                   [&](const char* isa) {
                     const int64_t size = element_bytes(dtype);
                     for (int64_t r = 0; r < 5; r++)
                       check(memcmp(to.bytes.data() + r * 34 * size, from.bytes.data() + r * (33 + gap) * size, static_cast<size_t>(33 * size)) == 0, "%s row %d", isa, int(r));
                     for (int64_t r = 0; r < 4; r++)
                       for (int64_t byte = 0; byte < size; byte++) check(to.bytes[static_cast<size_t>((r * 34 + 33) * size + byte)] == std::byte{0}, "%s wrote past a row", isa);
                   });
    }
  Weight weight = make_weight(DType::q4_0, 6, 64);
  std::vector<std::byte> blocks(weight.file.size());
  TensorView from{weight.file.data(), DType::q4_0, Layout::plain, 2, {6, 64, 1, 1}, 64}, to = from;
  to.data = blocks.data();
  for (const KernelTable* table : tables) {
    std::fill(blocks.begin(), blocks.end(), std::byte{0});
    check(table->copy(to, from, threaded).ok() && blocks == weight.file, "%s: copy of q4_0 rows", table->isa);
  }
  end_op();
}

// ---- sampling ----

struct SampleRow { float temperature, top_k, top_p, min_p, penalty; };

uint32_t finalize(uint32_t h) {
  h ^= h >> 16;
  h *= 0x85ebca6bu;
  h ^= h >> 13;
  h *= 0xc2b2ae35u;
  return h ^ h >> 16;
}

int32_t expected_sample(std::vector<float> logits, const SampleRow& row, const std::vector<int32_t>& history, uint32_t seed, uint32_t draw) {
  std::vector<int32_t> distinct = history;
  std::sort(distinct.begin(), distinct.end());
  distinct.erase(std::unique(distinct.begin(), distinct.end()), distinct.end());
  for (const int32_t id : distinct)
    if (id >= 0 && id < static_cast<int32_t>(logits.size())) {
      float& logit = logits[static_cast<size_t>(id)];
      logit = logit > 0 ? logit / row.penalty : logit * row.penalty;
    }
  std::vector<int32_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) { return logits[static_cast<size_t>(a)] > logits[static_cast<size_t>(b)]; });
  if (row.temperature == 0) return order[0];
  if (row.top_k > 0 && row.top_k < static_cast<float>(order.size())) order.resize(static_cast<size_t>(row.top_k));
  const double best = logits[static_cast<size_t>(order[0])];
  std::vector<double> probabilities;
  for (const int32_t id : order) probabilities.push_back(std::exp(logits[static_cast<size_t>(id)] - best));
  const double total = std::accumulate(probabilities.begin(), probabilities.end(), 0.0);
  size_t kept = 0;
  double cumulative = 0;
  while (kept < order.size()) {
    cumulative += probabilities[kept++] / total;
    if (row.top_p < 1 && cumulative >= row.top_p) break;
  }
  while (kept > 1 && probabilities[kept - 1] / total < static_cast<double>(row.min_p) * probabilities[0] / total) kept--;
  std::vector<double> weights;
  for (size_t i = 0; i < kept; i++) weights.push_back(std::exp((logits[static_cast<size_t>(order[i])] - best) / row.temperature));
  const double u = (finalize(finalize(seed + 0x9e3779b9u) ^ draw) >> 8) / 16777216.0;
  const double target = u * std::accumulate(weights.begin(), weights.end(), 0.0);
  double sum = 0;
  for (size_t i = 0; i < kept; i++) {
    sum += weights[i];
    if (sum > target) return order[i];
  }
  return order[kept - 1];
}

void check_sample() {
  begin_op("sample");
  const SampleRow settings[] = {{0, 0, 1, 0, 1},          {0, 40, 0.9f, 0, 1.3f},   {1, 0, 1, 0, 1},      {0.8f, 40, 0.95f, 0.05f, 1}, {1.5f, 0, 0.9f, 0, 1.1f},
                                {0.7f, 0, 1, 0.1f, 0.8f}, {2, 1, 1, 0, 1},          {1, 200, 0.5f, 0, 1}, {1, 1e9f, 1, 0, 1},          {0.1f, 5, 0, 0.5f, 1},
                                {1, 3, 1, 2, 1},          {0.9f, 0, 0.999f, 0, 1.2f}};
  for (const int64_t vocabulary : {1, 2, 47, 1000, 32000}) {
    const int64_t rows = static_cast<int64_t>(std::size(settings)), length = 6;
    Tensor logits = random_f32({rows, vocabulary}, -9, 9, 3);
    for (int64_t r = 0; r < rows; r++)
      for (int64_t i = 0; i < vocabulary; i++) {
        float& logit = logits.at<float>(r, i);
        // Ties, both zeros, and tokens that are ruled out.
        if (r % 3 == 1) logit = std::round(logit);
        if (r % 4 == 2 && i % 5 == 1) logit = -infinity;
        if (r == 6) logit = i % 2 == 0 ? -0.0f : 0.0f;
      }
    Tensor params = make(DType::f32, {rows, 5}), state = make(DType::i32, {rows, 2}), history = make(DType::i32, {rows, length});
    Tensor workspace = make(DType::i8, {3 * vocabulary * 8}), ids = make(DType::i32, {rows});
    for (int64_t r = 0; r < rows; r++) {
      memcpy(&params.at<float>(r, 0), &settings[r], sizeof settings[r]);
      const auto favourite = static_cast<int32_t>(std::max_element(&logits.at<float>(r, 0), &logits.at<float>(r, 0) + vocabulary) - &logits.at<float>(r, 0));
      const int32_t recent[6] = {favourite, -1, uniform_int(0, static_cast<int>(vocabulary) - 1), favourite, static_cast<int32_t>(vocabulary), 0};
      memcpy(&history.at<int32_t>(r, 0), recent, sizeof recent);
    }
    const Tensor before = logits;
    for (int trial = 0; trial < (vocabulary > 2000 ? 3 : 20); trial++) {
      for (int64_t r = 0; r < rows; r++) {
        state.at<int32_t>(r, 0) = static_cast<int32_t>(generator());
        state.at<int32_t>(r, 1) = trial == 0 ? 0 : static_cast<int32_t>(generator());
      }
      for_each_isa(ids, [&](const KernelTable& table, const Parallel& parallel) { return table.sample(ids.view, logits.view, params.view, state.view, history.view, workspace.view, parallel); },
                   [&](const char* isa) {
                     for (int64_t r = 0; r < rows; r++) {
                       const float* row = &logits.at<float>(r, 0);
                       const int32_t* recent = &history.at<int32_t>(r, 0);
                       const int32_t expected = expected_sample({row, row + vocabulary}, settings[r], {recent, recent + length}, static_cast<uint32_t>(state.at<int32_t>(r, 0)),
                                                                static_cast<uint32_t>(state.at<int32_t>(r, 1)));
                       check(ids.as<int32_t>()[r] == expected, "%s: row %d of %d: token %d, expected %d", isa, int(r), int(vocabulary), ids.as<int32_t>()[r], expected);
                     }
                     check(memcmp(logits.bytes.data(), before.bytes.data(), logits.bytes.size()) == 0, "%s changed the logits", isa);
                   });
    }
  }

  // NaN names its row; the workspace is measured; infinity wins.
  Tensor logits = random_f32({4, 100}), params = make(DType::f32, {4, 5}), state = make(DType::i32, {4, 2}), history = make(DType::i32, {4, 0});
  Tensor workspace = make(DType::i8, {3 * 800}), ids = make(DType::i32, {4});
  for (int64_t r = 0; r < 4; r++) memcpy(&params.at<float>(r, 0), &settings[r], sizeof settings[r]);
  const auto run = [&](const KernelTable& table, const Parallel& parallel) { return table.sample(ids.view, logits.view, params.view, state.view, history.view, workspace.view, parallel); };
  logits.at<float>(3, 7) = infinity;
  for_each_isa(ids, run, [&](const char* isa) { check(ids.as<int32_t>()[3] == 7, "%s: infinity is not drawn", isa); });
  logits.at<float>(3, 99) = logits.at<float>(2, 0) = not_a_number;
  expect_problem(run, 2, 4, "NaN logits");
  workspace.view.shape[0] = 799;
  expect_problem(run, 799, 800, "a workspace that is too small");
  end_op();
}

void check_top_logprobs() {
  begin_op("top_logprobs");
  for (const int64_t vocabulary : {1, 4, 333, 5000})
    for (const int64_t columns : {1, 2, 6}) {
      const int64_t rows = 4;
      Tensor logits = random_f32({rows, vocabulary}, -8, 8, 1);
      for (int64_t i = 0; i < vocabulary; i++) logits.at<float>(1, i) = std::round(logits.at<float>(1, i) / 4);
      std::vector<int32_t> tokens;
      for (int64_t r = 0; r < rows; r++) tokens.push_back(uniform_int(0, static_cast<int>(vocabulary) - 1));
      Tensor sampled = from_ints({rows}, tokens), ids = make(DType::i32, {rows, columns}), logprobs = make(DType::f32, {rows, columns}, 2);
      for_each_isa(logprobs, [&](const KernelTable& table, const Parallel& parallel) { return table.top_logprobs(ids.view, logprobs.view, logits.view, sampled.view, parallel); },
                   [&](const char* isa) {
                     for (int64_t r = 0; r < rows; r++) {
                       const float* row = &logits.at<float>(r, 0);
                       std::vector<int32_t> order(static_cast<size_t>(vocabulary));
                       std::iota(order.begin(), order.end(), 0);
                       std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) { return row[a] > row[b]; });
                       double total = 0;
                       for (int64_t i = 0; i < vocabulary; i++) total += std::exp(static_cast<double>(row[i]));
                       for (int64_t i = 0; i < columns; i++) {
                         const int32_t expected = i == 0 ? tokens[static_cast<size_t>(r)] : i - 1 < vocabulary ? order[static_cast<size_t>(i - 1)] : -1;
                         check(ids.at<int32_t>(r, i) == expected, "%s row %d column %d: id %d, expected %d", isa, int(r), int(i), ids.at<int32_t>(r, i), expected);
                         const double logprob = expected < 0 ? -infinity : row[expected] - std::log(total);
                         check_near(logprobs.at<float>(r, i), logprob, half_ulp * std::fabs(logprob) + 1e-13, isa, "logprob", i);
                       }
                     }
                   });
    }
  Tensor logits = random_f32({2, 10}), sampled = from_ints({2}, {3, 4}), ids = make(DType::i32, {2, 3}), logprobs = make(DType::f32, {2, 3});
  const auto run = [&](const KernelTable& table, const Parallel& parallel) { return table.top_logprobs(ids.view, logprobs.view, logits.view, sampled.view, parallel); };
  sampled.as<int32_t>()[1] = 10;
  expect_problem(run, 10, 10, "a sampled id outside the vocabulary");
  sampled.as<int32_t>()[1] = 9;
  logits.at<float>(1, 5) = not_a_number;
  expect_problem(run, 1, 2, "NaN logits");
  end_op();
}

}  // namespace

int main() {
  for (const KernelTable* table : tables) printf("%s ", table->isa);
  printf("\n");
  check_pack();
  check_embed();
  check_gather_rows();
  check_norms();
  check_matmul();
  check_rope();
  check_store_kv();
  check_attention();
  check_elementwise();
  check_sample();
  check_top_logprobs();
  if (num_failures > 0) printf("%d checks failed\n", num_failures);
  return num_failures > 0 ? 1 : 0;
}
