// mean_pool: out [S, H], the mean of each sequence's rows of x [T, H]. Rows are added in ascending order, each lane by itself.
#pragma once
#include "vector_math.h"

namespace thermocline::THERMOCLINE_ISA {
namespace {

inline Status check_row_ranges(const TensorView& query_starts, int64_t num_sequences, int64_t num_rows) {
  if (query_starts.shape[0] < num_sequences + 1) return {"too few query starts", query_starts.shape[0], num_sequences + 1};
  int64_t start = *row_of<const int32_t>(query_starts, 0);
  if (start < 0) return {"negative query start", start, 0};
  for (int64_t s = 0; s < num_sequences; s++) {
    const int64_t end = *row_of<const int32_t>(query_starts, s + 1);
    if (end < start) return {"query starts descend", end, start};
    if (end > num_rows) return {"query start beyond the rows of the step", end, num_rows};
    start = end;
  }
  return {};
}

inline Status mean_pool(const TensorView& out, const TensorView& x, const TensorView& query_starts, const Parallel& parallel) {
  constexpr int64_t piece_columns = 64;
  const int64_t num_sequences = out.shape[0];
  const int64_t columns = out.shape[1];
  if (num_sequences == 0) return {};
  const Status status = check_row_ranges(query_starts, num_sequences, x.shape[0]);
  if (status.problem != nullptr) return status;
  const int64_t pieces = (columns + piece_columns - 1) / piece_columns;
  parallel_for(parallel, num_sequences * pieces, 4, [&](int64_t first, int64_t last, int) {
    for (int64_t item = first; item < last; item++) {
      const int64_t begin = *row_of<const int32_t>(query_starts, item / pieces);
      const int64_t end = *row_of<const int32_t>(query_starts, item / pieces + 1);
      float* to = row_of<float>(out, item / pieces);
      const int64_t last_column = minimum(columns, (item % pieces + 1) * piece_columns);
      for (int64_t i = item % pieces * piece_columns; i < last_column; i += 16) {
        const int count = static_cast<int>(minimum(16, last_column - i));
        F32x16 sum = splat(0.0f);
        for (int64_t row = begin; row < end; row++) sum = add(sum, load_lanes(row_of<const float>(x, row) + i, count));
        store_lanes(to + i, end > begin ? div(sum, splat(static_cast<float>(end - begin))) : sum, count);
      }
    }
  });
  return {};
}

}  // namespace
}  // namespace thermocline::THERMOCLINE_ISA
