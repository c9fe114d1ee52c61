// expert_matmul: the bits of a matmul for each row, experts that are elsewhere, ids and slots that are wrong.
#include "kernel_check.h"

#include <cstring>

#include "workspace.h"

namespace thermocline::kernel_check {
namespace {

constexpr int32_t num_experts = 6;
// Experts 1 and 4 are elsewhere; slot 2 is nobody's.
const std::vector<int32_t> slots = {3, -1, 0, 1, -1, 4};
constexpr int64_t num_slots = 5;

Tensor random_experts(int64_t tokens, int64_t used) {
  std::vector<int32_t> ids(static_cast<size_t>(tokens * used));
  for (int32_t& id : ids) id = uniform_int(0, num_experts - 1);
  return from_ints({tokens, used}, ids);
}

void check_case(DType dtype, int64_t tokens, int64_t used, int64_t rows, int64_t columns, bool shared) {
  Weight weight = make_weights(dtype, num_slots, rows, columns);
  Tensor x = random_f32(shared ? std::vector<int64_t>{tokens, columns} : std::vector<int64_t>{tokens, used, columns}, -2, 2, 3);
  Tensor ids = random_experts(tokens, used);
  Tensor expert_slots = from_ints({num_experts}, slots);
  Tensor workspace = make(DType::i8, {expert_workspace(dtype, tokens * used, columns, num_experts).byte_length});
  Tensor row_workspace = matmul_workspace(dtype, 1, columns);
  Tensor out = random_f32({tokens, used, rows}, 5, 6, 5);
  const Tensor before = out;
  const size_t matrix_bytes = packed_byte_length(dtype, rows, columns);
  const auto run = [&](const KernelTable& table, const Parallel& parallel) {
    return table.expert_matmul(out.view, x.view, weight.packed.view, ids.view, expert_slots.view, workspace.view, parallel);
  };
  for_each_isa(out, run, [&](const char* isa) {
    const KernelTable* table = nullptr;
    for (const KernelTable* candidate : tables)
      if (strcmp(candidate->isa, isa) == 0) table = candidate;
    Tensor expected = make(DType::f32, {1, rows});
    for (int64_t t = 0; t < tokens; t++) {
      for (int64_t u = 0; u < used; u++) {
        const int32_t slot = slots[static_cast<size_t>(ids.as<int32_t>()[t * used + u])];
        memset(expected.bytes.data(), 0, expected.bytes.size());
        if (slot >= 0) {
          TensorView x_row = x.view;
          x_row.data += 4 * (t * x.view.row_stride + (shared ? 0 : u * columns));
          x_row.rank = 2;
          x_row.shape[0] = 1;
          x_row.shape[1] = columns;
          x_row.shape[2] = 1;
          const TensorView matrix{weight.packed.bytes.data() + static_cast<size_t>(slot) * matrix_bytes, dtype, Layout::packed, 2, {rows, columns, 1, 1}, columns};
          check(table->matmul(expected.view, x_row, matrix, absent, row_workspace.view, serial).ok(), "%s matmul of a row", isa);
        }
        check(memcmp(out.as<float>() + t * out.view.row_stride + u * rows, expected.bytes.data(), expected.bytes.size()) == 0,
              "%s %s: token %d, rank %d in slot %d is not a matmul's", isa, name_of(dtype), int(t), int(u), slot);
      }
      if (t + 1 < tokens)
        check(memcmp(out.as<float>() + t * out.view.row_stride + used * rows, before.bytes.data() + 4 * (t * out.view.row_stride + used * rows), 20) == 0,
              "%s wrote past a token", isa);
    }
  });
}

}  // namespace

void check_expert_matmul() {
  begin_op("expert_matmul");
  for (const DType dtype : weight_dtypes) {
    const int64_t unit = column_unit(dtype);
    check_case(dtype, 1, 2, 16, unit == 1 ? 66 : unit, true);
    check_case(dtype, 21, 2, 20, unit == 1 ? 39 : 2 * unit, true);
    check_case(dtype, 7, 3, 33, unit == 1 ? 39 : unit, false);
  }
  const int64_t columns = 64;
  Weight weight = make_weights(DType::q8_0, num_slots, 16, columns);
  Tensor x = random_f32({2, columns});
  Tensor out = random_f32({2, 2, 16});
  const std::vector<std::byte> before = out.bytes;
  const int64_t needed = expert_workspace(DType::q8_0, 4, columns, num_experts).byte_length;
  Tensor workspace = make(DType::i8, {needed});
  const auto expect = [&](std::vector<int32_t> ids, std::vector<int32_t> expert_slots, Tensor& scratch, int64_t value, int64_t limit, const char* what) {
    Tensor id_tensor = from_ints({2, 2}, ids);
    Tensor slot_tensor = from_ints({num_experts}, expert_slots);
    expect_problem([&](const KernelTable& table, const Parallel& parallel) {
      return table.expert_matmul(out.view, x.view, weight.packed.view, id_tensor.view, slot_tensor.view, scratch.view, parallel);
    }, value, limit, what);
    check(out.bytes == before, "%s: something was written", what);
  };
  expect({0, 2, 6, 0}, slots, workspace, 6, num_experts, "an expert outside the layer");
  expect({0, -1, 0, 0}, slots, workspace, -1, num_experts, "a negative expert");
  expect({0, 2, 3, 5}, {3, -1, 0, 5, -1, 4}, workspace, 5, num_slots, "a slot outside the weight");
  expect({0, 2, 3, 5}, {3, -1, 0, -2, -1, 4}, workspace, -2, num_slots, "a slot below -1");
  Tensor too_small = make(DType::i8, {needed - 1});
  expect({0, 2, 3, 5}, slots, too_small, needed - 1, needed, "a workspace that is too small");
  Tensor none = from_ints({0, 2}, {});
  Tensor expert_slots = from_ints({num_experts}, slots);
  TensorView no_out = out.view, no_x = x.view;
  no_out.shape[0] = no_x.shape[0] = 0;
  for (const KernelTable* table : tables)
    check(table->expert_matmul(no_out, no_x, weight.packed.view, none.view, expert_slots.view, workspace.view, serial).ok() && out.bytes == before, "no tokens");
  end_op();
}

}  // namespace thermocline::kernel_check
