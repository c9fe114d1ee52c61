// store_kv: every rounding to binary16.
#include "kernel_check.h"

#include <cmath>
#include <cstring>

namespace thermocline::kernel_check {

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

}  // namespace thermocline::kernel_check
