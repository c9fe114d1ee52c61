// fill, copy: every byte inside a tensor and none outside. read_memory: every byte.
#include "kernel_check.h"

#include <algorithm>
#include <cstring>

namespace thermocline::kernel_check {

void check_copies() {
  begin_op("fill");
  for (const int64_t gap : {0, 3}) {
    Tensor out = random_f32({4, 5, 7}, 1, 2, gap);
    const Tensor before = out;
    for_each_isa(out, [&](const KernelTable& table, const Parallel& parallel) { return table.fill(out.view, -2.5, parallel); },
                 [&](const char* isa) {
                   for (size_t i = 0; i < out.bytes.size() / 4; i++) {
                     const bool inside = static_cast<int64_t>(i) % (35 + gap) < 35;
                     check(inside ? out.as<float>()[i] == -2.5f : memcmp(out.bytes.data() + 4 * i, before.bytes.data() + 4 * i, 4) == 0, "%s [%d]", isa, int(i));
                   }
                 });
  }
  end_op();

  begin_op("copy");
  for (const DType dtype : {DType::f32, DType::f16, DType::i8, DType::i32})
    for (const int64_t gap : {0, 2}) {
      Tensor from = make(dtype, {5, 3, 11}, gap), to = make(dtype, {5, 3, 11}, 1);
      for (std::byte& byte : from.bytes) byte = static_cast<std::byte>(generator());
      for_each_isa(to, [&](const KernelTable& table, const Parallel& parallel) { return table.copy(to.view, from.view, parallel); },
                   [&](const char* isa) {
                     const int64_t size = element_bytes(dtype);
                     for (int64_t r = 0; r < 5; r++)
                       check(memcmp(to.bytes.data() + r * 34 * size, from.bytes.data() + r * (33 + gap) * size, static_cast<size_t>(33 * size)) == 0, "%s row %d", isa, int(r));
                     for (int64_t r = 0; r < 4; r++)
                       for (int64_t byte = 0; byte < size; byte++) check(to.bytes[static_cast<size_t>((r * 34 + 33) * size + byte)] == std::byte{0}, "%s wrote past a row", isa);
                   });
    }
  Weight weight = make_weight(DType::q4_0, 6, 64);
  std::vector<std::byte> blocks(weight.file.size());
  TensorView from{weight.file.data(), DType::q4_0, Layout::plain, 2, {6, 64, 1, 1}, 64}, to = from;
  to.data = blocks.data();
  for (const KernelTable* table : tables) {
    std::fill(blocks.begin(), blocks.end(), std::byte{0});
    check(table->copy(to, from, threaded).ok() && blocks == weight.file, "%s: copy of q4_0 rows", table->isa);
  }
  end_op();

  begin_op("read_memory");
  for (const int64_t lines : {0, 1, 3, 4, 5, 9}) {
    Tensor memory = make(DType::i8, {64 * lines});
    for (const KernelTable* table : tables) {
      check(table->read_memory(memory.bytes.data(), lines) == 0, "%s: %d lines of zeros", table->isa, int(lines));
      for (int64_t byte = 0; byte < 64 * lines; byte++) {
        memory.bytes[static_cast<size_t>(byte)] = std::byte{1};
        check(table->read_memory(memory.bytes.data(), lines) != 0, "%s: byte %d of %d lines is not read", table->isa, int(byte), int(lines));
        memory.bytes[static_cast<size_t>(byte)] = std::byte{0};
      }
    }
  }
  end_op();
}

}  // namespace thermocline::kernel_check
