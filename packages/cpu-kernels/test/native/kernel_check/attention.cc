// attention: grouped heads, paged caches of every dtype, windows, caps, whole contexts, mixed prefill and decode.
#include "kernel_check.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

namespace thermocline::kernel_check {
namespace {

// Sequences whose lengths and queries are given, with their blocks scattered over caches that hold NaN everywhere else.
struct AttentionCase {
  int64_t heads, kv_heads, dim_k, dim_v, block_size;
  std::vector<int32_t> lengths, queries;
  uint32_t window;
  DType key_dtype, value_dtype;
  double softcap = 0;
  bool causal = true;
};

struct AttentionTensors {
  Tensor q, keys, values, tables, lengths, starts, out;
  std::vector<std::vector<float>> key_rows, value_rows;  // [sequence][position, kv head, dim] as stored
};

bool has_blocks(DType dtype) { return dtype == DType::q8_0 || dtype == DType::q4_0; }

// A row of a cache: random values as the dtype holds them, which are returned; or NaN.
std::vector<float> put_row(Tensor& cache, int64_t row, int64_t dim, bool nan) {
  std::vector<float> values;
  const DType dtype = cache.view.dtype;
  for (int64_t i = 0; i < dim; i += has_blocks(dtype) ? 32 : 1) {
    const float value = nan ? not_a_number : uniform(-2, 2);
    if (dtype == DType::f32) {
      cache.as<float>()[row * dim + i] = value;
      values.push_back(value);
    } else if (dtype == DType::f16) {
      const uint16_t half = nan ? 0x7e00 : nearest_half(value);
      cache.as<uint16_t>()[row * dim + i] = half;
      values.push_back(static_cast<float>(half_value(half)));
    } else {
      // Any quants, the extremes often, under a scale that keeps values near 1.
      std::byte* block = cache.bytes.data() + (row * dim + i) / 32 * storage_block(dtype).bytes;
      const uint16_t scale = nan ? 0x7e00 : nearest_half(uniform(-1, 1) / (dtype == DType::q8_0 ? 64 : 4));
      memcpy(block, &scale, 2);
      for (uint32_t byte = 2; byte < storage_block(dtype).bytes; byte++) block[byte] = static_cast<std::byte>(uniform_int(0, 4) == 0 ? 0x80 : uniform_int(0, 255));
      for (const float element : values_of_block(dtype, block)) values.push_back(element);
    }
  }
  return values;
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
  a.keys = make(c.key_dtype, {all_blocks, c.kv_heads, c.block_size, c.dim_k});
  a.values = make(c.value_dtype, {all_blocks, c.kv_heads, c.block_size, c.dim_v});
  for (int64_t row = 0; row < all_blocks * c.kv_heads * c.block_size; row++) {
    put_row(a.keys, row, c.dim_k, true);
    put_row(a.values, row, c.dim_v, true);
  }
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
        for (int64_t h = 0; h < c.kv_heads; h++) {
          const int64_t block = a.tables.at<int32_t>(s, position / c.block_size);
          const std::vector<float> row = put_row(cache, (block * c.kv_heads + h) * c.block_size + position % c.block_size, dim, false);
          rows.insert(rows.end(), row.begin(), row.end());
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
    return table.attention(a.out.view, a.q.view, a.keys.view, a.values.view, a.tables.view, a.lengths.view, a.starts.view, scale, c.softcap, c.window, c.causal, parallel);
  };
  for_each_isa(a.out, run, [&](const char* isa) {
    for (size_t s = 0; s < c.lengths.size(); s++)
      for (int64_t query = 0; query < c.queries[s]; query++) {
        const int64_t token = a.starts.as<int32_t>()[s] + query;
        const int64_t position = c.lengths[s] - c.queries[s] + query;
        const int64_t first = c.window == 0 ? 0 : std::max<int64_t>(0, position - c.window + 1);
        const int64_t last = c.causal ? position : c.lengths[s] - 1;
        for (int64_t head = 0; head < c.heads; head++) {
          const int64_t kv_head = head / (c.heads / c.kv_heads);
          std::vector<double> scores;
          double largest_sum = 0;
          for (int64_t p = first; p <= last; p++) {
            double score = 0, magnitude = 0;
            for (int64_t d = 0; d < c.dim_k; d++) {
              const double term = static_cast<double>(a.q.at<float>(token, head * c.dim_k + d)) * a.key_rows[s][static_cast<size_t>((p * c.kv_heads + kv_head) * c.dim_k + d)];
              score += term;
              magnitude += std::fabs(term);
            }
            scores.push_back(c.softcap == 0 ? score * scale : c.softcap * std::tanh(score * scale / c.softcap));
            largest_sum = std::max(largest_sum, magnitude * scale);
          }
          const double best = *std::max_element(scores.begin(), scores.end());
          double total = 0;
          for (double& score : scores) total += score = std::exp(score - best);
          // The cap's tanh has slope 1 at most and loses 1.4 ulp; its quotient and product round too.
          // A score's error becomes a relative error of its weight, in the numerator and in the sum; then the roundings of one weighted
          // sum and of rescaling at each chunk.
          const double score_error = half_ulp * (2 * (static_cast<double>(c.dim_k) / 16 + 6) * largest_sum + 2 * std::fabs(best) + 2 + 5 * c.softcap);
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
      // A last query sees its whole context with or without causality.
      const Status status = table->attention(out.view, q, a.keys.view, a.values.view, row, length.view, starts.view, scale, c.softcap, c.window, c.causal, serial);
      check(status.ok() && memcmp(out.bytes.data(), &a.out.at<float>(last, 0), out.bytes.size()) == 0, "%s: the batch changes a sequence", table->isa);
    }
  }
}

}  // namespace

void check_attention() {
  begin_op("attention");
  for (const DType dtype : {DType::f32, DType::f16}) {
    check_attention_case({1, 1, 1, 1, 1, {1}, {1}, 0, dtype, dtype});
    check_attention_case({8, 1, 64, 64, 16, {33, 5}, {1, 1}, 0, dtype, dtype});
    check_attention_case({6, 2, 80, 48, 16, {40, 17, 0, 16}, {40, 3, 0, 1}, 0, dtype, dtype});
    check_attention_case({7, 1, 172, 33, 8, {70}, {2}, 0, dtype, dtype, 3});
    check_attention_case({5, 5, 128, 128, 5, {61, 19}, {4, 19}, 0, dtype, dtype, 0, false});
    check_attention_case({2, 1, 512, 512, 32, {50}, {3}, 0, dtype, dtype});
    check_attention_case({4, 2, 48, 48, 16, {100, 30}, {9, 30}, 20, dtype, dtype, 50});
    check_attention_case({2, 2, 16, 16, 7, {40}, {40}, 1, dtype, dtype});
  }
  for (const DType key_dtype : {DType::q8_0, DType::q4_0, DType::f16})
    for (const DType value_dtype : {DType::q4_0, DType::q8_0, DType::f32}) {
      check_attention_case({4, 1, 64, 64, 16, {33, 5}, {1, 5}, 0, key_dtype, value_dtype});
      check_attention_case({7, 1, 96, 32, 8, {70}, {2}, 0, key_dtype, value_dtype, 2});
      check_attention_case({2, 2, 32, 160, 5, {21, 19}, {4, 19}, 0, key_dtype, value_dtype, 0, false});
      check_attention_case({6, 3, 32, 32, 16, {100, 30}, {9, 30}, 20, key_dtype, value_dtype});
    }

  const AttentionCase c{4, 2, 16, 16, 4, {10, 6}, {2, 3}, 0, DType::f32, DType::f32};
  const double scale = 0.25;
  AttentionTensors a = make_attention(c);
  const auto run = [&](const KernelTable& table, const Parallel& parallel) {
    return table.attention(a.out.view, a.q.view, a.keys.view, a.values.view, a.tables.view, a.lengths.view, a.starts.view, scale, 0, 0, 1, parallel);
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
  AttentionCase windowed{2, 1, 16, 16, 4, {30}, {2}, 5, DType::f32, DType::f32};
  AttentionTensors w = make_attention(windowed);
  for (int64_t b = 0; b < 6; b++) w.tables.at<int32_t>(0, b) = -1;
  for (int64_t i = 0; i < 32; i++) w.q.at<float>(0, i) *= 1e4f;
  for_each_isa(w.out, [&](const KernelTable& table, const Parallel& parallel) {
    return table.attention(w.out.view, w.q.view, w.keys.view, w.values.view, w.tables.view, w.lengths.view, w.starts.view, 1.0, 0, 5, 1, parallel);
  }, [&](const char* isa) {
    for (int64_t i = 0; i < 64; i++) check(std::isfinite(w.out.at<float>(i / 32, i % 32)), "%s: not finite behind a window", isa);
  });
  AttentionCase cut{1, 1, 32, 32, 4, {3}, {1}, 0, DType::q8_0, DType::q4_0};
  AttentionTensors n = make_attention(cut);
  n.keys.view.shape[3] = n.q.view.shape[2] = 16;
  expect_problem([&](const KernelTable& table, const Parallel& parallel) {
    return table.attention(n.out.view, n.q.view, n.keys.view, n.values.view, n.tables.view, n.lengths.view, n.starts.view, 1.0, 0, 0, 1, parallel);
  }, 16, 32, "heads that are no whole blocks");
  end_op();
}

}  // namespace thermocline::kernel_check
