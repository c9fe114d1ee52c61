// matmul: dtypes, odd shapes, tiles of tokens, values that are not finite.
#include "kernel_check.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "workspace.h"

namespace thermocline::kernel_check {
namespace {

// Σ over k of terms, of |terms| and of |x|, with the activations as the kernel quantises them; `quantisation` bounds what that step loses.
struct Product { double sum, magnitude, quantisation, activations; };

Product multiply(const float* x, const float* weight, int64_t columns, bool quantised) {
  Product product{0, 0, 0, 0};
  for (int64_t base = 0; base < columns; base += 32) {
    const int64_t end = std::min(columns, base + 32);
    float largest = 0;
    for (int64_t k = base; k < end; k++) largest = std::max(largest, std::fabs(x[k]));
    const float inverse = 127.0f / largest;
    const float scale = largest / 127.0f;
    for (int64_t k = base; k < end; k++) {
      const double activation = !quantised ? x[k] : largest == 0 ? 0 : static_cast<double>(std::nearbyint(x[k] * inverse)) * scale;
      const double used = activation * weight[k];
      product.sum += used;
      product.magnitude += std::fabs(used);
      product.activations += std::fabs(activation);
      product.quantisation += quantised ? std::fabs(weight[k]) * scale * 0.5001 : 0;
    }
  }
  return product;
}

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
  Tensor workspace = matmul_workspace(dtype, tokens, columns);
  Tensor out = random_f32({tokens, rows}, 5, 6, 5);
  const Tensor before = out;
  const TensorView& bias_view = with_bias ? bias.view : absent;
  const bool quantised = is_quantised(dtype);
  const auto run = [&](const KernelTable& table, const Parallel& parallel) {
    return table.matmul(out.view, x.view, weight.packed.view, bias_view, quantised ? workspace.view : absent, parallel);
  };
  // Roundings on the way of a term: one fma for each sub-block, and its minimum, or each column of its accumulator (two without fma),
  // scales, sums, joining, bias.
  const int64_t fmas = quantised ? columns / sub_block_columns(dtype) * (weight.minimum_bound > 0 ? 2 : 1) : columns / 4;
  const double roundings = 2.0 * static_cast<double>(fmas) + 8;
  for_each_isa(out, run, [&](const char* isa) {
    for (int64_t t = 0; t < tokens; t++)
      for (int64_t row = 0; row < rows; row++) {
        const Product product = multiply(&x.at<float>(t, 0), &weight.values[static_cast<size_t>(row * columns)], columns, quantised);
        const double shift = with_bias ? bias.as<float>()[row] : 0;
        // The values of a quantised weight are themselves rounded: one more rounding. |scale · code| <= |value| + |minimum|.
        const double magnitude = product.magnitude + 2 * weight.minimum_bound * product.activations;
        const double bound = half_ulp * roundings * (magnitude + std::fabs(shift)) + 1e-37;
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
  // More than the positions that share an unpacked panel.
  const int64_t rows = 20, columns = std::max<int64_t>(96, column_unit(dtype)) / column_unit(dtype) * column_unit(dtype), most = 140;
  Weight weight = make_weight(dtype, rows, columns);
  Tensor x = random_f32({most, columns});
  Tensor workspace = matmul_workspace(dtype, most, columns);
  for (const KernelTable* table : tables) {
    Tensor alone = make(DType::f32, {most, rows});
    for (int64_t t = 0; t < most; t++) {
      TensorView x_row = x.view, out_row = alone.view;
      x_row.data += 4 * t * columns;
      out_row.data += 4 * t * rows;
      x_row.shape[0] = out_row.shape[0] = 1;
      table->matmul(out_row, x_row, weight.packed.view, absent, workspace.view, serial);
    }
    for (const int64_t tokens : {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 33, 140}) {
      Tensor out = make(DType::f32, {tokens, rows});
      TensorView x_rows = x.view;
      x_rows.shape[0] = tokens;
      table->matmul(out.view, x_rows, weight.packed.view, absent, workspace.view, tokens % 2 == 0 ? threaded : serial);
      check(memcmp(out.bytes.data(), alone.bytes.data(), static_cast<size_t>(4 * tokens * rows)) == 0, "%s %s: a batch of %d changes a token", table->isa,
            name_of(dtype), int(tokens));
    }
  }
}

}  // namespace

void check_matmul() {
  begin_op("matmul");
  for (const DType dtype : weight_dtypes) {
    const bool quantised = is_quantised(dtype);
    // Rows of one block, of several, and of whole panels of 256 columns with and without a rest.
    const int64_t unit = column_unit(dtype);
    const int64_t odd = unit == 1 ? 155 : unit == 256 ? 768 : 256 + unit;
    check_matmul_case(dtype, 1, 1, unit, false);
    check_matmul_case(dtype, 3, 17, unit == 1 ? 7 : unit, true);
    check_matmul_case(dtype, 5, 16, unit == 1 ? 66 : 2 * unit, false);
    check_matmul_case(dtype, 9, 49, odd, true);
    check_matmul_case(dtype, 15, 40, 256, false);
    check_matmul_case(dtype, 1, 133, 512, true);
    check_matmul_tiles(dtype);

    // NaN or infinity in a token makes that token's outputs NaN (or infinite), no other's.
    const int64_t columns = std::max<int64_t>(64, unit);
    Weight weight = make_weight(dtype, 20, columns);
    Tensor x = random_f32({3, columns});
    x.at<float>(1, 40) = not_a_number;
    x.at<float>(2, 3) = -infinity;
    Tensor workspace = matmul_workspace(dtype, 3, columns);
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
      Tensor tiny = random_f32({1, columns}, -1e-38f, 1e-38f);
      Tensor small = make(DType::f32, {1, 20});
      for_each_isa(small, [&](const KernelTable& table, const Parallel& parallel) { return table.matmul(small.view, tiny.view, weight.packed.view, absent, workspace.view, parallel); },
                   [&](const char* isa) {
                     for (int64_t row = 0; row < 20; row++) check(small.at<float>(0, row) == 0, "%s: tiny activations give %g", isa, small.at<float>(0, row));
                   });
      const int64_t needed = matmul_workspace_bytes(dtype, 1, columns);
      Tensor too_small = make(DType::i8, {needed - 1});
      expect_problem([&](const KernelTable& table, const Parallel& parallel) { return table.matmul(small.view, tiny.view, weight.packed.view, absent, too_small.view, parallel); },
                     needed - 1, needed, "a workspace that is too small");
    }
  }
  end_op();
}

}  // namespace thermocline::kernel_check
