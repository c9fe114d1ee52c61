// attention over the paged KV cache: out [T, numHeads, headDimV] = softmax(scale · q · keysᵀ) · values, heads grouped over KV heads; causal,
// unless every query sees the whole context. Scores may pass softcap · tanh(score / softcap) first.
//
// One work item is a token and a KV head; up to 4 query heads of the group share each load of a key or a value. Positions are taken in
// chunks of 16 by their number in the sequence (0-15, 16-31, …) with an online softmax: running maximum m, sum and value accumulators,
// rescaled by e^(m_old - m_new) at each chunk. So a token's result depends on its own sequence only, and not even on the block size.
// Order of operations: q·k in 16 lanes over the head, then the tree of reduce_add; the sum of weights by the same tree, chunk after
// chunk; values position after position. Slots that no query sees are never read, so they may hold anything.
// Quantised keys and values are dequantised in registers, f32(quant) · f32(scale), which is exact: the result is that of an f32 cache that
// holds the same values.
#pragma once
#include "kv_cache.h"

namespace thermocline::THERMOCLINE_ISA {
namespace {

constexpr int64_t attention_chunk = 16;
constexpr int64_t max_head_dim = 512;

struct AttentionOperands {
  const TensorView &out, &q, &key_cache, &value_cache, &block_tables;
  CacheRows keys, values;
  float scale;
  float softcap;  // 0: none
};

struct VisibleRange { int64_t first, last; };  // positions first … last of the sequence, both included

// Rows of one chunk's keys and values, for the positions [begin, end) of the chunk that are visible.
struct ChunkRows {
  int64_t begin, end;
  const std::byte* keys[attention_chunk];
  const std::byte* values[attention_chunk];
};

inline void find_chunk_rows(ChunkRows& rows, const AttentionOperands& op, int64_t sequence, int64_t kv_head, int64_t chunk,
                            VisibleRange visible) {
  const int32_t* table = row_of<const int32_t>(op.block_tables, sequence);
  const int64_t block_size = op.keys.block_size;
  rows.begin = maximum(visible.first - chunk, 0);
  rows.end = minimum(visible.last + 1 - chunk, attention_chunk);
  // Divided once: a 64-bit division takes as long as a key's dot product.
  int64_t index = (chunk + rows.begin) / block_size;
  int64_t offset = (chunk + rows.begin) % block_size;
  for (int64_t i = rows.begin; i < rows.end; i++) {
    rows.keys[i] = op.keys.row(table[index], kv_head, offset);
    rows.values[i] = op.values.row(table[index], kv_head, offset);
    if (++offset == block_size) {
      offset = 0;
      index++;
    }
  }
}

// products[h][i]: q_h · key_i in 16 lanes still to be summed, element d in lane d mod 16. Keys of floats.
template <int H, typename T>
inline void multiply_keys(F32x16 (&products)[H][attention_chunk], const float* q, int64_t head_dim, const ChunkRows& rows) {
  for (int64_t i = rows.begin; i < rows.end; i++) {
    const T* row = reinterpret_cast<const T*>(rows.keys[i]);
    F32x16 sums[H];
#pragma GCC unroll 4
    for (int h = 0; h < H; h++) sums[h] = splat(0.0f);
    int64_t d = 0;
    for (; d + 16 <= head_dim; d += 16) {
      const F32x16 key = load(row + d);
#pragma GCC unroll 4
      for (int h = 0; h < H; h++) sums[h] = fma(load(q + h * head_dim + d), key, sums[h]);
    }
    if (d < head_dim) {
      const int count = static_cast<int>(head_dim - d);
      const F32x16 key = load(row + d, count);
#pragma GCC unroll 4
      for (int h = 0; h < H; h++) sums[h] = fma(load(q + h * head_dim + d, count), key, sums[h]);
    }
#pragma GCC unroll 4
    for (int h = 0; h < H; h++) products[h][i] = sums[h];
  }
}

// The same over blocks, whose values live in registers only.
template <int H, typename Block>
inline void multiply_key_blocks(F32x16 (&products)[H][attention_chunk], const float* q, int64_t head_dim, const ChunkRows& rows) {
  for (int64_t i = rows.begin; i < rows.end; i++) {
    const std::byte* block = rows.keys[i];
    F32x16 sums[H];
#pragma GCC unroll 4
    for (int h = 0; h < H; h++) sums[h] = splat(0.0f);
    for (int64_t d = 0; d < head_dim; d += kv_block_columns, block += Block::byte_length) {
      F32x16 low, high;
      Block::read(block, low, high);
#pragma GCC unroll 4
      for (int h = 0; h < H; h++) {
        sums[h] = fma(load(q + h * head_dim + d), low, sums[h]);
        sums[h] = fma(load(q + h * head_dim + d + 16), high, sums[h]);
      }
    }
#pragma GCC unroll 4
    for (int h = 0; h < H; h++) products[h][i] = sums[h];
  }
}

// scores[h][i] = scale · q_h · key_i, capped, for the visible positions, -infinity for the others.
template <int H>
inline void score_chunk(float (&scores)[H][attention_chunk], const float* q, int64_t head_dim, const AttentionOperands& op,
                        const ChunkRows& rows) {
  F32x16 products[H][attention_chunk];
  if (rows.end - rows.begin < attention_chunk)
    for (int h = 0; h < H; h++)
      for (int64_t i = 0; i < attention_chunk; i++) products[h][i] = splat(0.0f);
  switch (op.key_cache.dtype) {
    case DType::f16: multiply_keys<H, uint16_t>(products, q, head_dim, rows); break;
    case DType::q8_0: multiply_key_blocks<H, BlockQ8>(products, q, head_dim, rows); break;
    case DType::q4_0: multiply_key_blocks<H, BlockQ4>(products, q, head_dim, rows); break;
    default: multiply_keys<H, float>(products, q, head_dim, rows);
  }
  const F32x16 hidden = splat(-__builtin_inff());
  const F32x16 begin = splat(static_cast<float>(rows.begin));
  const F32x16 end = splat(static_cast<float>(rows.end));
  for (int h = 0; h < H; h++) {
    F32x16 score = mul(reduce_add_each(products[h]), splat(op.scale));
    if (op.softcap != 0) score = mul(splat(op.softcap), tanh(div(score, splat(op.softcap))));
    store(scores[h], select_less(lane_numbers(), begin, hidden, select_less(lane_numbers(), end, score, hidden)));
  }
}

// accumulators[h][d] = accumulators[h][d] · rescale[h] + Σ weights[h][i] · value_i[d]. Values of floats.
template <int H, typename T>
inline void add_values(float (&accumulators)[H][max_head_dim], const float (&weights)[H][attention_chunk], const float (&rescale)[H],
                       int64_t head_dim, const ChunkRows& rows) {
  for (int64_t d = 0; d < head_dim; d += 16) {
    const int count = static_cast<int>(minimum(16, head_dim - d));
    F32x16 sums[H];
#pragma GCC unroll 4
    for (int h = 0; h < H; h++) sums[h] = mul(load(accumulators[h] + d), splat(rescale[h]));
    for (int64_t i = rows.begin; i < rows.end; i++) {
      const F32x16 value = load_lanes(reinterpret_cast<const T*>(rows.values[i]) + d, count);
#pragma GCC unroll 4
      for (int h = 0; h < H; h++) sums[h] = fma(splat(weights[h][i]), value, sums[h]);
    }
#pragma GCC unroll 4
    for (int h = 0; h < H; h++) store(accumulators[h] + d, sums[h]);
  }
}

template <int H, typename Block>
inline void add_value_blocks(float (&accumulators)[H][max_head_dim], const float (&weights)[H][attention_chunk], const float (&rescale)[H],
                             int64_t head_dim, const ChunkRows& rows) {
  for (int64_t d = 0, offset = 0; d < head_dim; d += kv_block_columns, offset += Block::byte_length) {
    F32x16 low_sums[H], high_sums[H];
#pragma GCC unroll 4
    for (int h = 0; h < H; h++) {
      low_sums[h] = mul(load(accumulators[h] + d), splat(rescale[h]));
      high_sums[h] = mul(load(accumulators[h] + d + 16), splat(rescale[h]));
    }
    for (int64_t i = rows.begin; i < rows.end; i++) {
      F32x16 low, high;
      Block::read(rows.values[i] + offset, low, high);
#pragma GCC unroll 4
      for (int h = 0; h < H; h++) {
        low_sums[h] = fma(splat(weights[h][i]), low, low_sums[h]);
        high_sums[h] = fma(splat(weights[h][i]), high, high_sums[h]);
      }
    }
#pragma GCC unroll 4
    for (int h = 0; h < H; h++) {
      store(accumulators[h] + d, low_sums[h]);
      store(accumulators[h] + d + 16, high_sums[h]);
    }
  }
}

template <int H>
inline void accumulate_chunk(float (&accumulators)[H][max_head_dim], const float (&weights)[H][attention_chunk], const float (&rescale)[H],
                             int64_t head_dim, DType dtype, const ChunkRows& rows) {
  switch (dtype) {
    case DType::f16: return add_values<H, uint16_t>(accumulators, weights, rescale, head_dim, rows);
    case DType::q8_0: return add_value_blocks<H, BlockQ8>(accumulators, weights, rescale, head_dim, rows);
    case DType::q4_0: return add_value_blocks<H, BlockQ4>(accumulators, weights, rescale, head_dim, rows);
    default: return add_values<H, float>(accumulators, weights, rescale, head_dim, rows);
  }
}

// H query heads from `head` on, which share KV head `kv_head`, for one token.
template <int H>
inline void attend_heads(const AttentionOperands& op, int64_t token, int64_t sequence, int64_t kv_head, int64_t head, VisibleRange visible) {
  const int64_t dim_k = op.q.shape[2];
  const int64_t dim_v = op.out.shape[2];
  const float* q = row_of<const float>(op.q, token) + head * dim_k;
  float accumulators[H][max_head_dim];
  float scores[H][attention_chunk];
  float maxima[H], sums[H], rescale[H];
  for (int h = 0; h < H; h++) {
    for (int64_t d = 0; d < dim_v; d += 16) store(accumulators[h] + d, splat(0.0f));
    maxima[h] = -__builtin_inff();
    sums[h] = 0;
  }
  for (int64_t chunk = visible.first / attention_chunk * attention_chunk; chunk <= visible.last; chunk += attention_chunk) {
    ChunkRows rows;
    find_chunk_rows(rows, op, sequence, kv_head, chunk, visible);
    score_chunk<H>(scores, q, dim_k, op, rows);
    float shifts[16] = {};
    for (int h = 0; h < H; h++) {
      const float chunk_maximum = reduce_max(load(scores[h]));
      const float maximum = chunk_maximum > maxima[h] ? chunk_maximum : maxima[h];
      // While every score is -infinity there is nothing to rescale; 0 keeps -infinity minus itself away.
      const float base = maximum == -__builtin_inff() ? 0.0f : maximum;
      shifts[h] = maxima[h] - base;  // e^shift rescales what earlier chunks gave
      maxima[h] = maximum;
      store(scores[h], exp(sub(load(scores[h]), splat(base))));
    }
    store(shifts, exp(load(shifts)));
    for (int h = 0; h < H; h++) {
      rescale[h] = shifts[h];
      sums[h] = sums[h] * rescale[h] + reduce_add(load(scores[h]));
    }
    accumulate_chunk<H>(accumulators, scores, rescale, dim_v, op.value_cache.dtype, rows);
  }
  for (int h = 0; h < H; h++) {
    float* out = row_of<float>(op.out, token) + (head + h) * dim_v;
    for (int64_t d = 0; d < dim_v; d += 16)
      store_lanes(out + d, div(load(accumulators[h] + d), splat(sums[h])), static_cast<int>(minimum(16, dim_v - d)));
  }
}

inline void attend(const AttentionOperands& op, int64_t token, int64_t sequence, int64_t kv_head, VisibleRange visible) {
  const int64_t group = op.q.shape[1] / op.key_cache.shape[1];
  const int64_t end = (kv_head + 1) * group;
  int64_t head = kv_head * group;
  for (; head + 4 <= end; head += 4) attend_heads<4>(op, token, sequence, kv_head, head, visible);
  if (head + 2 <= end) {
    attend_heads<2>(op, token, sequence, kv_head, head, visible);
    head += 2;
  }
  if (head < end) attend_heads<1>(op, token, sequence, kv_head, head, visible);
}

// Position of a sequence's first query, and what each of its queries sees.
inline int64_t first_position_of(int64_t context_length, int64_t num_queries) { return context_length - num_queries; }
inline VisibleRange visible_from(int64_t position, uint32_t sliding_window) {
  const int64_t window = sliding_window;
  return {window == 0 ? 0 : maximum(0, position - window + 1), position};
}

// Everything that decides which memory is read.
inline Status check_attention(const AttentionOperands& op, const TensorView& context_lengths, const TensorView& query_starts,
                              uint32_t sliding_window) {
  const Status status = check_caches(op.key_cache, op.value_cache);
  if (status.problem != nullptr) return status;
  if (op.q.shape[2] > max_head_dim) return {"head dimension of the keys too large", op.q.shape[2], max_head_dim};
  if (op.out.shape[2] > max_head_dim) return {"head dimension of the values too large", op.out.shape[2], max_head_dim};
  const int64_t num_sequences = context_lengths.shape[0];
  if (query_starts.shape[0] < num_sequences + 1) return {"too few query starts", query_starts.shape[0], num_sequences + 1};
  const int64_t block_size = op.key_cache.shape[2];
  int64_t start = *row_of<const int32_t>(query_starts, 0);
  if (start < 0) return {"negative query start", start, 0};
  for (int64_t s = 0; s < num_sequences; s++) {
    const int64_t end = *row_of<const int32_t>(query_starts, s + 1);
    if (end < start) return {"query starts descend", end, start};
    if (end > op.q.shape[0]) return {"query start beyond the tokens of the step", end, op.q.shape[0]};
    const int64_t num_queries = end - start;
    start = end;
    if (num_queries == 0) continue;
    const int64_t length = *row_of<const int32_t>(context_lengths, s);
    if (length < num_queries) return {"context length below the sequence's tokens of this step", length, num_queries};
    if (length > op.block_tables.shape[1] * block_size)
      return {"context length beyond the sequence's block table", length, op.block_tables.shape[1] * block_size};
    const int32_t* table = row_of<const int32_t>(op.block_tables, s);
    const int64_t first_seen = visible_from(first_position_of(length, num_queries), sliding_window).first;
    for (int64_t b = first_seen / block_size; b <= (length - 1) / block_size; b++)
      if (table[b] < 0 || table[b] >= op.key_cache.shape[0]) return {"block outside the KV cache", table[b], op.key_cache.shape[0]};
  }
  return {};
}

inline Status attention(const TensorView& out, const TensorView& q, const TensorView& key_cache, const TensorView& value_cache,
                        const TensorView& block_tables, const TensorView& context_lengths, const TensorView& query_starts, double scale,
                        double softcap, uint32_t sliding_window, uint32_t causal, const Parallel& parallel) {
  const AttentionOperands op{out,
                             q,
                             key_cache,
                             value_cache,
                             block_tables,
                             cache_rows(key_cache),
                             cache_rows(value_cache),
                             static_cast<float>(scale),
                             static_cast<float>(softcap)};
  const Status status = check_attention(op, context_lengths, query_starts, sliding_window);
  if (status.problem != nullptr) return status;
  const int64_t num_sequences = context_lengths.shape[0];
  const int64_t first_token = *row_of<const int32_t>(query_starts, 0);
  const int64_t num_tokens = *row_of<const int32_t>(query_starts, num_sequences) - first_token;
  const int64_t num_kv_heads = key_cache.shape[1];
  // Items of one KV head lie together, so that a thread's neighbouring tokens find its keys and values in cache.
  const int64_t items = num_tokens * num_kv_heads;
  parallel_for(parallel, items, clamp(items / (8 * maximum(1, parallel.threads)), 1, 32), [&](int64_t first, int64_t last, int) {
    int64_t sequence = 0;
    for (int64_t item = first; item < last; item++) {
      const int64_t token = first_token + item % num_tokens;
      if (item == first || token == first_token) sequence = 0;
      while (token >= *row_of<const int32_t>(query_starts, sequence + 1)) sequence++;
      const int64_t start = *row_of<const int32_t>(query_starts, sequence);
      const int64_t num_queries = *row_of<const int32_t>(query_starts, sequence + 1) - start;
      const int64_t context_length = *row_of<const int32_t>(context_lengths, sequence);
      VisibleRange visible = visible_from(first_position_of(context_length, num_queries) + token - start, sliding_window);
      if (causal == 0) visible.last = context_length - 1;
      attend(op, token, sequence, item / num_tokens, visible);
    }
  });
  return {};
}

}  // namespace
}  // namespace thermocline::THERMOCLINE_ISA
