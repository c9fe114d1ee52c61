// store_kv: writes k and v [T, numKvHeads, headDim] f32 into caches [numBlocks, numKvHeads, blockSize, headDim] of f16 or f32.
#pragma once
#include "vector_math.h"

namespace thermocline::THERMOCLINE_ISA {
namespace {

inline bool is_kv_dtype(DType dtype) { return dtype == DType::f32 || dtype == DType::f16; }

// First element of (block, head, offset) of a cache.
template <typename T>
inline T* cache_row(const TensorView& cache, int64_t block, int64_t head, int64_t offset) {
  return row_of<T>(cache, block) + (head * cache.shape[2] + offset) * cache.shape[3];
}

inline void store_f16(uint16_t* out, const float* x, int64_t n) {
  for (int64_t i = 0; i < n; i += 16) {
    const int count = static_cast<int>(minimum(16, n - i));
    store_lanes(out + i, load_lanes(x + i, count), count);
  }
}

inline void store_token(const TensorView& cache, const TensorView& x, int64_t token, int64_t slot) {
  const int64_t block = slot / cache.shape[2];
  const int64_t offset = slot % cache.shape[2];
  const int64_t dim = cache.shape[3];
  for (int64_t head = 0; head < x.shape[1]; head++) {
    const float* values = row_of<const float>(x, token) + head * dim;
    if (cache.dtype == DType::f16) store_f16(cache_row<uint16_t>(cache, block, head, offset), values, dim);
    else memcpy(cache_row<float>(cache, block, head, offset), values, sizeof(float) * static_cast<size_t>(dim));
  }
}

inline Status store_kv(const TensorView& k, const TensorView& v, const TensorView& key_cache, const TensorView& value_cache,
                       const TensorView& slot_mapping, const Parallel& parallel) {
  const Status status = check_indices(slot_mapping, key_cache.shape[0] * key_cache.shape[2], "slot outside the KV cache");
  if (status.problem != nullptr) return status;
  if (!is_kv_dtype(key_cache.dtype) || !is_kv_dtype(value_cache.dtype))
    return {"KV cache of a dtype that this backend does not write", static_cast<int64_t>(key_cache.dtype), 0};
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
