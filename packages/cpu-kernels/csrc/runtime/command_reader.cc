#include "thermocline/buffer.h"
#include "thermocline/commands.h"

namespace thermocline {

void CommandReader::fail(const char* problem) {
  if (problem_ == nullptr) problem_ = problem;
}

uint32_t CommandReader::word() {
  if (next_word_ == num_words_) {
    fail("has too few words");
    return 0;
  }
  return words_[next_word_++];
}

double CommandReader::number() {
  if (next_number_ == num_numbers_) {
    fail("has too few numbers");
    return 0;
  }
  return numbers_[next_number_++];
}

Tensor CommandReader::tensor() { return read_tensor(false); }

Tensor CommandReader::optional_tensor() { return read_tensor(true); }

Tensor CommandReader::read_tensor(bool optional) {
  const uint32_t handle = word();
  const uint32_t kind = word();
  Tensor tensor;
  for (uint32_t& dim : tensor.dims) dim = word();
  tensor.row_stride = word();
  word();
  const double byte_offset = number();
  if (problem_ != nullptr) return {};
  if (handle == absent_handle) {
    if (!optional) fail("lacks a tensor");
    return {};
  }
  tensor.buffer = handles_.buffer(handle);
  tensor.dtype = static_cast<DType>(kind & 0xff);
  tensor.layout = static_cast<Layout>((kind >> 8) & 0xff);
  tensor.rank = kind >> 16;
  if (tensor.buffer == nullptr) fail("names an unknown buffer");
  if (tensor.rank > max_tensor_rank) fail("has a tensor with too many dimensions");
  if (tensor.layout != Layout::plain && tensor.layout != Layout::packed) fail("has a tensor of unknown layout");
  for (const uint32_t dim : tensor.dims)
    if ((dim & binding_bit) != 0 && (dim & ~binding_bit) >= num_bindings) fail("has a dimension that names an unknown binding");
  // 2^53: up to there a double holds every integer.
  if (!(byte_offset >= 0 && byte_offset <= 9007199254740992.0)) {
    fail("has a tensor with an impossible byte offset");
    return {};
  }
  tensor.byte_offset = static_cast<uint64_t>(byte_offset);
  return tensor;
}

Signal CommandReader::signal() {
  const uint32_t handle = word();
  const uint32_t slot = word();
  if (problem_ != nullptr) return {};
  int32_t* value = handles_.counter(handle, slot);
  if (value == nullptr) fail("names a signal slot outside its counters");
  return {value};
}

const char* CommandReader::problem() const {
  if (problem_ != nullptr) return problem_;
  return next_word_ == num_words_ && next_number_ == num_numbers_ ? nullptr : "has words or numbers left over";
}

}  // namespace thermocline
