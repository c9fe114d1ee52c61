// store_kv: every rounding to binary16, and the blocks of quantised caches to the bit.
#include "kernel_check.h"

#include <cmath>
#include <cstring>

namespace thermocline::kernel_check {
namespace {

// Values that are hard to round and hard to scale: any bit pattern at all, subnormals, ties, blocks of zeros, of equals, with infinity.
void put_hard_values(Tensor& x) {
  const int64_t columns = x.view.shape[1] * x.view.shape[2];
  for (int64_t i = 0; i < columns; i++) {
    const uint32_t bits = generator();
    memcpy(&x.at<float>(2, i), &bits, 4);
    x.at<float>(3, i) = std::ldexp(uniform(-1, 1), uniform_int(-26, -13));
    x.at<float>(4, i) = std::ldexp(static_cast<float>(uniform_int(0, 4095)), uniform_int(-30, 5));
    x.at<float>(5, i) = i / 32 % 3 == 0 ? (i % 2 == 0 ? 0.0f : -0.0f) : i / 32 % 3 == 1 ? std::ldexp(uniform(-1, 1), -130) : uniform_int(-4, 4) * 0.5f;
  }
  x.at<float>(1, columns / 2) = columns % 2 == 0 ? infinity : not_a_number;
}

// [block][head][offset] of a slot: the index of a cache row.
int64_t row_of_slot(const Tensor& cache, int64_t slot, int64_t head) {
  const int64_t block_size = cache.view.shape[2];
  return (slot / block_size * cache.view.shape[1] + head) * block_size + slot % block_size;
}

void check_row(const char* isa, Tensor& cache, int64_t row, const float* x) {
  const int64_t columns = cache.view.shape[3];
  const DType dtype = cache.view.dtype;
  if (dtype == DType::q8_0 || dtype == DType::q4_0) {
    const int64_t block_bytes = storage_block(dtype).bytes;
    for (int64_t i = 0; i < columns; i += 32) {
      const std::byte* block = cache.bytes.data() + (row * columns + i) / 32 * block_bytes;
      check(memcmp(block, block_of_values(dtype, x + i).data(), static_cast<size_t>(block_bytes)) == 0, "%s: block %d of row %d, scale %04x", isa, int(i / 32),
            int(row), static_cast<unsigned>(block[0]) | static_cast<unsigned>(block[1]) << 8);
    }
    return;
  }
  for (int64_t i = 0; i < columns; i++) {
    if (dtype == DType::f32) {
      check(memcmp(cache.as<float>() + row * columns + i, x + i, 4) == 0, "%s f32 [%d]", isa, int(i));
    } else {
      const uint16_t half = cache.as<uint16_t>()[row * columns + i];
      check(std::isnan(x[i]) ? std::isnan(half_value(half)) : half == nearest_half(x[i]), "%s: %.9g becomes half %04x", isa, x[i], half);
    }
  }
}

void check_dtypes(DType key_dtype, DType value_dtype, int64_t key_dim, int64_t value_dim) {
  const int64_t tokens = 6, heads = 2, blocks = 3, block_size = 4;
  Tensor k = random_f32({tokens, heads, key_dim}, -3, 3, 5), v = random_f32({tokens, heads, value_dim});
  put_hard_values(k);
  put_hard_values(v);
  Tensor keys = make(key_dtype, {blocks, heads, block_size, key_dim}), values = make(value_dtype, {blocks, heads, block_size, value_dim});
  Tensor slots = from_ints({tokens}, {0, 11, 5, 6, 1, 9});
  std::vector<std::byte> scalar_bits;
  for_each_isa(
      keys,
      [&](const KernelTable& table, const Parallel& parallel) { return table.store_kv(k.view, v.view, keys.view, values.view, slots.view, parallel); },
      [&](const char* isa) {
        for (int64_t t = 0; t < tokens; t++)
          for (int64_t h = 0; h < heads; h++) {
            const int64_t slot = slots.as<int32_t>()[t];
            check_row(isa, keys, row_of_slot(keys, slot, h), &k.at<float>(t, h * key_dim));
            check_row(isa, values, row_of_slot(values, slot, h), &v.at<float>(t, h * value_dim));
          }
        if (scalar_bits.empty()) scalar_bits = keys.bytes;
        check(same_bits(scalar_bits, keys.bytes, key_dtype), "%s: rounding differs from the portable one", isa);
      });
  for (const int32_t slot : {-1, 12}) {
    Tensor bad = from_ints({tokens}, {0, 1, 2, slot, 3, 4});
    expect_problem([&](const KernelTable& table, const Parallel& parallel) { return table.store_kv(k.view, v.view, keys.view, values.view, bad.view, parallel); }, slot, 12,
                   "a slot outside the cache");
  }
}

}  // namespace

void check_store_kv() {
  begin_op("store_kv");
  for (const DType dtype : {DType::f32, DType::f16})
    for (const int64_t dim : {1, 16, 37, 80}) check_dtypes(dtype, dtype, dim, dim + 3);
  for (const DType key_dtype : {DType::q8_0, DType::q4_0, DType::f16})
    for (const DType value_dtype : {DType::q4_0, DType::q8_0, DType::f32})
      for (const int64_t dim : {32, 96}) check_dtypes(key_dtype, value_dtype, dim, 128);

  Tensor k = random_f32({1, 1, 48}), keys = make(DType::q8_0, {1, 1, 2, 48}), values = make(DType::f16, {1, 1, 2, 48}), slots = from_ints({1}, {0});
  expect_problem([&](const KernelTable& table, const Parallel& parallel) { return table.store_kv(k.view, k.view, keys.view, values.view, slots.view, parallel); }, 48, 32,
                 "heads that are no whole blocks");
  end_op();
}

}  // namespace thermocline::kernel_check
