// Command lists as they arrive: whole, cut off, full of noise; and the extents of their tensors.
#include "runtime_check.h"

#include <algorithm>
#include <cstdio>
#include <memory>
#include <random>
#include <string>
#include <variant>

namespace thermocline::runtime_check {

void check_decoding() {
  BufferTable table;
  const uint32_t handle = table.add(Buffer::allocate(1024, new_meter()));
  std::vector<uint32_t> words;
  std::vector<double> numbers;
  Recorder recorder(words, numbers);
  recorder.begin(OpCode::rope);
  recorder.tensor(handle, DType::f32, {2, 2, 8});
  recorder.tensor(handle, DType::f32, {2, 1, 8});
  recorder.tensor(handle, DType::i32, {2});
  recorder.tensor(absent_handle, DType::f32, {});
  recorder.number(10000);
  recorder.number(1);
  recorder.word(8);
  recorder.word(1);
  recorder.begin(OpCode::activate);
  recorder.tensor(handle, DType::f32, {binding_bit | 1, 8});
  recorder.tensor(handle, DType::f32, {binding_bit | 1, 8}, 512);
  recorder.tensor(absent_handle, DType::f32, {});
  recorder.word(2);
  recorder.begin(OpCode::signal);
  recorder.word(0);
  recorder.word(16);
  recorder.finish();
  auto counters = [] { return std::vector<std::shared_ptr<Buffer>>{Buffer::allocate(128, new_meter())}; };
  const auto decode = [&](const std::vector<uint32_t>& w, const std::vector<double>& n) {
    std::string problem;
    // Exact-length copies: a read past the end is the sanitizer's to catch.
    const std::unique_ptr<uint32_t[]> exact_words(new uint32_t[w.size()]);
    const std::unique_ptr<double[]> exact_numbers(new double[n.size()]);
    std::copy(w.begin(), w.end(), exact_words.get());
    std::copy(n.begin(), n.end(), exact_numbers.get());
    const auto list = CommandList::decode(exact_words.get(), w.size(), exact_numbers.get(), n.size(), table, counters(), problem);
    expect((list == nullptr) == !problem.empty(), "a refused list says why");
    return list;
  };
  const auto list = decode(words, numbers);
  expect(list != nullptr && list->size() == 3 && list->num_signals() == 1, "a whole list is decoded");
  for (size_t length = 1; length < words.size(); length++) decode({words.begin(), words.begin() + static_cast<ptrdiff_t>(length)}, numbers);
  for (size_t length = 0; length < numbers.size(); length++) {
    const std::vector<double> cut(numbers.begin(), numbers.begin() + static_cast<ptrdiff_t>(length));
    expect(decode(words, cut) == nullptr, "missing numbers are refused");
  }
  // Any word may hold anything: the list is refused, or every tensor of it stays in its buffer.
  std::mt19937 random(1);
  int num_decoded = 0;
  for (int round = 0; round < 20'000; round++) {
    std::vector<uint32_t> noisy_words = words;
    std::vector<double> noisy_numbers = numbers;
    const uint32_t value = random() % 3 == 0 ? static_cast<uint32_t>(random()) : random() % 3 == 0 ? 0x80000000u | (random() % 8) : random() % 40;
    noisy_words[random() % noisy_words.size()] = value;
    if (random() % 4 == 0) noisy_numbers[random() % noisy_numbers.size()] = random() % 2 == 0 ? -1.5 : 1e300;
    const auto noisy = decode(noisy_words, noisy_numbers);
    if (noisy == nullptr) continue;
    num_decoded++;
    const StepBindings bindings{1, static_cast<int64_t>(random() % 40), INT32_MAX, 0, 1};
    for (size_t i = 0; i < noisy->size(); i++) {
      if (const auto* rope = std::get_if<RopeCommand>(&(*noisy)[i].command)) {
        TensorView view;
        ExtentProblem problem{};
        if (!resolve(rope->q, bindings, view, problem) || view.data == nullptr) continue;
        expect(view.data >= rope->q.buffer->data(), "a view begins inside its buffer");
        int64_t elements = 1;
        for (const int64_t dim : view.shape) elements *= dim;
        if (elements > 0 && view.layout == Layout::plain && view.dtype == DType::f32)
          expect(view.data + ((view.shape[0] - 1) * view.row_stride + elements / view.shape[0]) * 4 <= rope->q.buffer->data() + 1024,
                 "a view ends inside its buffer");
      }
    }
  }
  expect(num_decoded > 0 && num_decoded < 20'000, "noise is sometimes refused and sometimes harmless");
  std::puts("decoding: cut and noisy lists never leave their memory");
}

void check_extents() {
  const std::shared_ptr<Buffer> buffer = Buffer::allocate(1000, new_meter());
  const StepBindings bindings{1, 5, INT32_MAX, INT32_MAX, INT32_MAX};
  const auto fits = [&](std::vector<uint32_t> dims, uint64_t byte_offset, uint32_t row_stride = 0) {
    Tensor tensor;
    tensor.buffer = buffer.get();
    tensor.byte_offset = byte_offset;
    tensor.rank = static_cast<uint32_t>(dims.size());
    tensor.row_stride = row_stride;
    std::copy(dims.begin(), dims.end(), tensor.dims);
    TensorView view;
    ExtentProblem problem{};
    const bool inside = resolve(tensor, bindings, view, problem);
    expect(inside == (view.data != nullptr), "only a tensor inside its buffer has an address");
    return inside;
  };
  expect(fits({250}, 0) && !fits({251}, 0) && fits({249}, 4) && !fits({250}, 4), "the end of the buffer is the limit");
  expect(fits({binding_bit | 1, 50}, 0) && !fits({binding_bit | 1, 51}, 0), "bindings count");
  expect(fits({5, 10}, 0, 60) && !fits({5, 11}, 0, 60), "the last row is as long as the shape, not as the stride");
  expect(fits({0, 1000}, 1000) && !fits({0, 1000}, 1001), "an empty tensor lies at any offset inside");
  expect(!fits({binding_bit | 2, binding_bit | 3, binding_bit | 4, 0x7fffffff}, 0), "products that overflow do not fit");
  expect(!fits({binding_bit | 2, 1}, 0, 0xffffffff), "strides that overflow do not fit");
  std::puts("extents: limits, bindings, strides, overflow");
}

}  // namespace thermocline::runtime_check
