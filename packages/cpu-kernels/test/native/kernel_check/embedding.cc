// pack, embed, gather_rows: values arrive unchanged.
#include "kernel_check.h"

#include <algorithm>
#include <numeric>

namespace thermocline::kernel_check {

void check_pack() {
  begin_op("pack");
  for (const DType dtype : weight_dtypes) {
    // Blocks 1, 2 and 4 of 5, rows in a last group that is not full: the embedding of the packed slice must be the slice.
    const int64_t rows = 37, block = std::max<int64_t>(32, column_unit(dtype));
    Weight whole = make_weight(dtype, rows, 5 * block);
    const int64_t ranges[4] = {block, 2 * block, 4 * block, block};
    Tensor packed;
    packed.bytes.assign(packed_byte_length(dtype, rows, 3 * block), std::byte{0xee});
    pack_rows({whole.file.data(), dtype, 5 * block, whole.row_bytes}, ranges, 2, 0, rows, packed.bytes.data());
    packed.view = TensorView{packed.bytes.data(), dtype, Layout::packed, 2, {rows, 3 * block, 1, 1}, 3 * block};
    std::vector<int32_t> ids(rows);
    std::iota(ids.begin(), ids.end(), 0);
    Tensor token_ids = from_ints({rows}, ids);
    Tensor out = make(DType::f32, {rows, 3 * block});
    scalar_kernels.embed(out.view, packed.view, token_ids.view, 1, serial);
    for (int64_t row = 0; row < rows; row++)
      for (int64_t column = 0; column < 3 * block; column++) {
        const float expected = whole.values[static_cast<size_t>(row * 5 * block + (column < 2 * block ? block + column : 2 * block + column))];
        check(out.at<float>(row, column) == expected, "%s [%d, %d] of a slice", name_of(dtype), int(row), int(column));
      }
    check(can_pack(dtype), "%s must be packable", name_of(dtype));
  }
  check(!can_pack(DType::i32) && packed_byte_length(DType::i32, 16, 256) == 0, "i32 is not packed");
  end_op();
}

void check_embed() {
  begin_op("embed");
  for (const DType dtype : weight_dtypes)
    for (const bool packed : {true, false}) {
      const int64_t rows = 35, columns = is_quantised(dtype) ? 3 * column_unit(dtype) : 51;
      Weight weight = make_weight(dtype, rows, columns);
      TensorView table = packed ? weight.packed.view : TensorView{weight.file.data(), dtype, Layout::plain, 2, {rows, columns, 1, 1}, columns};
      Tensor ids = from_ints({4}, {34, 0, 17, 34});
      Tensor out = make(DType::f32, {4, columns}, 2);
      for_each_isa(out, [&](const KernelTable& kernels, const Parallel& parallel) { return kernels.embed(out.view, table, ids.view, 1, parallel); },
                   [&](const char* isa) {
                     for (int64_t t = 0; t < 4; t++)
                       for (int64_t i = 0; i < columns; i++)
                         check(out.at<float>(t, i) == weight.values[static_cast<size_t>(ids.as<int32_t>()[t] * columns + i)], "%s %s %s [%d, %d]", isa,
                               name_of(dtype), packed ? "packed" : "plain", int(t), int(i));
                   });
      for_each_isa(out, [&](const KernelTable& kernels, const Parallel& parallel) { return kernels.embed(out.view, table, ids.view, 5.5, parallel); },
                   [&](const char* isa) {
                     for (int64_t t = 0; t < 4; t++)
                       for (int64_t i = 0; i < columns; i++)
                         check(out.at<float>(t, i) == 5.5f * weight.values[static_cast<size_t>(ids.as<int32_t>()[t] * columns + i)], "%s %s scaled [%d, %d]", isa,
                               name_of(dtype), int(t), int(i));
                   });
      for (const int32_t id : {-1, 35}) {
        Tensor bad = from_ints({4}, {3, id, 4, 5});
        expect_problem([&](const KernelTable& kernels, const Parallel& parallel) { return kernels.embed(out.view, table, bad.view, 1, parallel); }, id, rows, "a token id outside the table");
      }
    }
  end_op();
}

void check_gather_rows() {
  begin_op("gather_rows");
  Tensor x = random_f32({5, 19}, -1, 1, 4);
  Tensor rows = from_ints({3}, {4, 0, 4});
  Tensor out = make(DType::f32, {3, 19}, 1);
  for_each_isa(out, [&](const KernelTable& table, const Parallel& parallel) { return table.gather_rows(out.view, x.view, rows.view, parallel); },
               [&](const char* isa) {
                 for (int64_t r = 0; r < 3; r++)
                   for (int64_t i = 0; i < 19; i++) check(out.at<float>(r, i) == x.at<float>(rows.as<int32_t>()[r], i), "%s [%d, %d]", isa, int(r), int(i));
               });
  Tensor bad = from_ints({3}, {0, 5, 1});
  expect_problem([&](const KernelTable& table, const Parallel& parallel) { return table.gather_rows(out.view, x.view, bad.view, parallel); }, 5, 5, "a row outside the input");
  end_op();
}

}  // namespace thermocline::kernel_check
