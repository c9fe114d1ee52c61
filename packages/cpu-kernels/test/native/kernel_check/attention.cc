// attention: grouped heads, paged caches, windows, mixed prefill and decode.
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
    return table.attention(a.out.view, a.q.view, a.keys.view, a.values.view, a.tables.view, a.lengths.view, a.starts.view, scale, 0, c.window, 1, parallel);
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
      const Status status = table->attention(out.view, q, a.keys.view, a.values.view, row, length.view, starts.view, scale, 0, c.window, 1, serial);
      check(status.ok() && memcmp(out.bytes.data(), &a.out.at<float>(last, 0), out.bytes.size()) == 0, "%s: the batch changes a sequence", table->isa);
    }
  }
}

}  // namespace

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
  AttentionCase windowed{2, 1, 16, 16, 4, {30}, {2}, 5, DType::f32};
  AttentionTensors w = make_attention(windowed);
  for (int64_t b = 0; b < 6; b++) w.tables.at<int32_t>(0, b) = -1;
  for (int64_t i = 0; i < 32; i++) w.q.at<float>(0, i) *= 1e4f;
  for_each_isa(w.out, [&](const KernelTable& table, const Parallel& parallel) {
    return table.attention(w.out.view, w.q.view, w.keys.view, w.values.view, w.tables.view, w.lengths.view, w.starts.view, 1.0, 0, 5, 1, parallel);
  }, [&](const char* isa) {
    for (int64_t i = 0; i < 64; i++) check(std::isfinite(w.out.at<float>(i / 32, i % 32)), "%s: not finite behind a window", isa);
  });
  end_op();
}

}  // namespace thermocline::kernel_check
