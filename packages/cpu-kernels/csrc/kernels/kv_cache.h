// store_kv: writes k and v [T, numKvHeads, headDim] f32 into caches [numBlocks, numKvHeads, blockSize, headDim], each in its cache's dtype:
// f32, f16, or blocks of 32 along headDim as files hold them (q8_0, q4_0). What reading them gives back: BlockQ8, BlockQ4.
#pragma once
#include "half.h"
#include "vector_math.h"

namespace thermocline::THERMOCLINE_ISA {
namespace {

constexpr int64_t kv_block_columns = 32;

inline bool is_kv_dtype(DType dtype) {
  return dtype == DType::f32 || dtype == DType::f16 || dtype == DType::q8_0 || dtype == DType::q4_0;
}

// Where the heads' rows of a cache lie, in bytes.
struct CacheRows {
  std::byte* data;
  int64_t block_bytes;
  int64_t row_bytes;
  int64_t block_size;

  std::byte* row(int64_t block, int64_t head, int64_t offset) const {
    return data + block * block_bytes + (head * block_size + offset) * row_bytes;
  }
};

inline CacheRows cache_rows(const TensorView& cache) {
  const StorageBlock unit = storage_block(cache.dtype);
  return {cache.data, cache.row_stride / unit.elements * unit.bytes, cache.shape[3] / unit.elements * unit.bytes, cache.shape[2]};
}

inline Status check_cache(const TensorView& cache) {
  if (!is_kv_dtype(cache.dtype)) return {"KV cache of a dtype that this backend has no kernels for", static_cast<int64_t>(cache.dtype), 0};
  const int64_t elements = storage_block(cache.dtype).elements;
  if (cache.shape[3] % elements != 0 || cache.row_stride % elements != 0)
    return {"quantised KV cache whose heads are no whole number of blocks", cache.shape[3], elements};
  return {};
}

inline Status check_caches(const TensorView& key_cache, const TensorView& value_cache) {
  const Status status = check_cache(key_cache);
  return status.problem != nullptr ? status : check_cache(value_cache);
}

// 1 / d, or 0 where that is no finite number: every quant then stands for 0.
inline float inverse_of(float scale) {
  const float inverse = 1.0f / scale;
  return __builtin_fabsf(inverse) < __builtin_inff() ? inverse : 0.0f;
}

inline void store_scale(std::byte* block, uint16_t half) { memcpy(block, &half, sizeof half); }

// Bits of the largest magnitude of 32 values. As integers they order as the magnitudes do, with infinity and NaN above all numbers.
inline int32_t largest_magnitude_bits(F32x16 low, F32x16 high) {
  const I32x16 magnitude = splat_int(INT32_MAX);
  return reduce_max(max(bit_and(as_int(low), magnitude), bit_and(as_int(high), magnitude)));
}

constexpr int32_t infinity_bits = 0x7f800000;
constexpr uint16_t nan_half = 0x7e00;

// f16 d, 32 signed bytes.
struct BlockQ8 {
  static constexpr int64_t byte_length = 34;

  static THERMOCLINE_INLINE void read(const std::byte* block, F32x16& low, F32x16& high) {
    const F32x16 scale = splat_half(block);
    low = mul(to_float(load_int8(block + 2)), scale);
    high = mul(to_float(load_int8(block + 18)), scale);
  }

  static inline void write(std::byte* block, const float* x) {
    const F32x16 low = load(x), high = load(x + 16);
    const int32_t largest_bits = largest_magnitude_bits(low, high);
    if (largest_bits >= infinity_bits) {
      store_scale(block, nan_half);
      memset(block + 2, 0, 32);
      return;
    }
    const float scale = float_of(static_cast<uint32_t>(largest_bits)) / 127.0f;
    const F32x16 inverse = splat(inverse_of(scale));
    store_scale(block, float_to_half(scale));
    int8_t* quants = reinterpret_cast<int8_t*>(block + 2);
    store_int8(quants, round_to_int(mul(low, inverse)));
    store_int8(quants + 16, round_to_int(mul(high, inverse)));
  }
};

// f16 d, 16 bytes: element i is the low nibble of byte i, element 16 + i the high one; 8 stands for 0.
struct BlockQ4 {
  static constexpr int64_t byte_length = 18;

  static THERMOCLINE_INLINE void read(const std::byte* block, F32x16& low, F32x16& high) {
    const F32x16 scale = splat_half(block);
    const I32x16 bytes = load_uint8(block + 2);
    low = mul(to_float(sub(bit_and(bytes, splat_int(15)), splat_int(8))), scale);
    high = mul(to_float(sub(shift_right<4>(bytes), splat_int(8))), scale);
  }

  // min(15, round(y) + 8) as round(min(y, 7)) + 8, which saves an integer minimum.
  static THERMOCLINE_INLINE I32x16 quantise(F32x16 x, F32x16 inverse) {
    return add(round_to_int(min(mul(x, inverse), splat(7.0f))), splat_int(8));
  }

  static inline void write(std::byte* block, const float* x) {
    const F32x16 low = load(x), high = load(x + 16);
    const int32_t largest_bits = largest_magnitude_bits(low, high);
    if (largest_bits >= infinity_bits) {
      store_scale(block, nan_half);
      memset(block + 2, 0x88, 16);
      return;
    }
    int first = 0;
    while (static_cast<int32_t>(bits_of(x[first]) & 0x7fffffffu) != largest_bits) first++;
    const float scale = x[first] / -8.0f;
    const F32x16 inverse = splat(inverse_of(scale));
    store_scale(block, float_to_half(scale));
    const I32x16 bytes = bit_or(quantise(low, inverse), shift_left<4>(quantise(high, inverse)));
    // As signed bytes, which is what store_int8 takes.
    store_int8(reinterpret_cast<int8_t*>(block + 2), shift_right<24>(shift_left<24>(bytes)));
  }
};

inline void store_f16(std::byte* row, const float* x, int64_t n) {
  uint16_t* out = reinterpret_cast<uint16_t*>(row);
  for (int64_t i = 0; i < n; i += 16) {
    const int count = static_cast<int>(minimum(16, n - i));
    store_lanes(out + i, load_lanes(x + i, count), count);
  }
}

template <typename Block>
inline void store_blocks(std::byte* row, const float* x, int64_t n) {
  for (int64_t i = 0; i < n; i += kv_block_columns, row += Block::byte_length) Block::write(row, x + i);
}

inline void store_token(const TensorView& cache, const TensorView& x, int64_t token, int64_t slot) {
  const CacheRows rows = cache_rows(cache);
  const int64_t dim = cache.shape[3];
  for (int64_t head = 0; head < x.shape[1]; head++) {
    const float* values = row_of<const float>(x, token) + head * dim;
    std::byte* row = rows.row(slot / rows.block_size, head, slot % rows.block_size);
    switch (cache.dtype) {
      case DType::f16: store_f16(row, values, dim); break;
      case DType::q8_0: store_blocks<BlockQ8>(row, values, dim); break;
      case DType::q4_0: store_blocks<BlockQ4>(row, values, dim); break;
      default: memcpy(row, values, sizeof(float) * static_cast<size_t>(dim));
    }
  }
}

inline Status store_kv(const TensorView& k, const TensorView& v, const TensorView& key_cache, const TensorView& value_cache,
                       const TensorView& slot_mapping, const Parallel& parallel) {
  Status status = check_caches(key_cache, value_cache);
  if (status.problem != nullptr) return status;
  status = check_indices(slot_mapping, key_cache.shape[0] * key_cache.shape[2], "slot outside the KV cache");
  if (status.problem != nullptr) return status;
  parallel_for(parallel, k.shape[0], grain_of(elementwise_range, columns_of(k)), [&](int64_t first, int64_t last, int) {
    for (int64_t t = first; t < last; t++) {
      const int64_t slot = *row_of<const int32_t>(slot_mapping, t);
      store_token(key_cache, k, t, slot);
      store_token(value_cache, v, t, slot);
    }
  });
  return {};
}

}  // namespace
}  // namespace thermocline::THERMOCLINE_ISA
