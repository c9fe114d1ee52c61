// activate, add, softcap, fill and copy: one output element from the same element of the inputs. Outputs may be their inputs.
#pragma once
#include "vector_math.h"

namespace thermocline::THERMOCLINE_ISA {
namespace {

// element_range(row, first column, count) over [rows, columns] in pieces that one thread takes whole.
template <typename Piece>
inline void for_each_piece(int64_t rows, int64_t columns, const Parallel& parallel, const Piece& piece) {
  constexpr int64_t piece_columns = 4096;
  const int64_t pieces = (columns + piece_columns - 1) / piece_columns;
  const int64_t grain = grain_of(elementwise_range, minimum(columns, piece_columns));
  parallel_for(parallel, rows * pieces, grain, [&](int64_t first, int64_t last, int) {
    for (int64_t item = first; item < last; item++) {
      const int64_t column = item % pieces * piece_columns;
      piece(item / pieces, column, minimum(piece_columns, columns - column));
    }
  });
}

template <Activation activation>
THERMOCLINE_INLINE F32x16 activate_lanes(F32x16 x) {
  if constexpr (activation == Activation::silu) return times_sigmoid(x, x);
  // NaN passes: max gives its second operand where one is NaN.
  if constexpr (activation == Activation::relu) return max(splat(0.0f), x);
  // ggml's approximation 0.5 x (1 + tanh(√(2/π) (x + 0.044715 x³))); 1.5957691 = 2 √(2/π)
  const F32x16 cube = mul(mul(x, x), x);
  return times_sigmoid(x, mul(splat(1.59576912f), fma(splat(0.044715f), cube, x)));
}

template <Activation activation>
inline void activate_rows(const TensorView& out, const TensorView& gate, const TensorView& up, const Parallel& parallel) {
  for_each_piece(out.shape[0], out.shape[1], parallel, [&](int64_t row, int64_t column, int64_t n) {
    float* y = row_of<float>(out, row) + column;
    const float* x = row_of<const float>(gate, row) + column;
    const float* factor = present(up) ? row_of<const float>(up, row) + column : nullptr;
    for (int64_t i = 0; i < n; i += 16) {
      const int count = static_cast<int>(minimum(16, n - i));
      F32x16 value = activate_lanes<activation>(load_lanes(x + i, count));
      if (factor != nullptr) value = mul(value, load_lanes(factor + i, count));
      store_lanes(y + i, value, count);
    }
  });
}

inline Status activate(const TensorView& out, const TensorView& gate, const TensorView& up, Activation activation, const Parallel& parallel) {
  switch (activation) {
    case Activation::silu: activate_rows<Activation::silu>(out, gate, up, parallel); return {};
    case Activation::gelu: activate_rows<Activation::gelu>(out, gate, up, parallel); return {};
    case Activation::relu: activate_rows<Activation::relu>(out, gate, up, parallel); return {};
  }
  return {"unknown activation", static_cast<int64_t>(activation), 3};
}

inline Status add_tensors(const TensorView& out, const TensorView& a, const TensorView& b, const Parallel& parallel) {
  for_each_piece(out.shape[0], out.shape[1], parallel, [&](int64_t row, int64_t column, int64_t n) {
    float* y = row_of<float>(out, row) + column;
    const float* left = row_of<const float>(a, row) + column;
    const float* right = row_of<const float>(b, row) + column;
    for (int64_t i = 0; i < n; i += 16) {
      const int count = static_cast<int>(minimum(16, n - i));
      store_lanes(y + i, add(load_lanes(left + i, count), load_lanes(right + i, count)), count);
    }
  });
  return {};
}

inline Status softcap(const TensorView& out, const TensorView& x, double cap, const Parallel& parallel) {
  const F32x16 limit = splat(static_cast<float>(cap));
  for_each_piece(out.shape[0], out.shape[1], parallel, [&](int64_t row, int64_t column, int64_t n) {
    float* y = row_of<float>(out, row) + column;
    const float* value = row_of<const float>(x, row) + column;
    for (int64_t i = 0; i < n; i += 16) {
      const int count = static_cast<int>(minimum(16, n - i));
      store_lanes(y + i, mul(limit, tanh(div(load_lanes(value + i, count), limit))), count);
    }
  });
  return {};
}

// A contiguous tensor of any rank is one long row.
struct RowShape { int64_t rows, columns; };
inline RowShape rows_of(const TensorView& view) {
  const int64_t columns = columns_of(view);
  if (view.row_stride == columns) return {1, view.shape[0] * columns};
  return {view.shape[0], columns};
}

inline Status fill(const TensorView& out, double value, const Parallel& parallel) {
  const F32x16 lanes = splat(static_cast<float>(value));
  const RowShape shape = rows_of(out);
  for_each_piece(shape.rows, shape.columns, parallel, [&](int64_t row, int64_t column, int64_t n) {
    float* y = row_of<float>(out, row) + column;
    for (int64_t i = 0; i < n; i += 16) store_lanes(y + i, lanes, static_cast<int>(minimum(16, n - i)));
  });
  return {};
}

inline Status copy(const TensorView& to, const TensorView& from, const Parallel& parallel) {
  const StorageBlock unit = storage_block(from.dtype);
  if (unit.bytes == 0) return {"copy of a dtype that this backend does not know", static_cast<int64_t>(from.dtype), 0};
  const RowShape shape = from.row_stride == to.row_stride ? rows_of(from) : RowShape{from.shape[0], columns_of(from)};
  const int64_t row_bytes = shape.columns / unit.elements * unit.bytes;
  for_each_piece(shape.rows, row_bytes, parallel, [&](int64_t row, int64_t first, int64_t count) {
    memcpy(to.data + row * to.row_stride / unit.elements * unit.bytes + first,
           from.data + row * from.row_stride / unit.elements * unit.bytes + first, static_cast<size_t>(count));
  });
  return {};
}

}  // namespace
}  // namespace thermocline::THERMOCLINE_ISA
