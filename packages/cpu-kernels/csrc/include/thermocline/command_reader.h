// The fields of recorded commands as they come out of the packed form that @thermocline/spec documents at `packCommands`. Included by the
// generated commands.h, after the enums and before the command structs. Free of the standard library's templates on purpose: the
// instruction-set files include it.
#pragma once
#include <cstddef>
#include <cstdint>

namespace thermocline {

class Buffer;

// A tensor as recorded: each dimension is a number, or binding_bit | index of a binding that every step supplies.
struct Tensor {
  const Buffer* buffer = nullptr;  // nullptr: the operand is absent. The command list keeps the buffer alive.
  uint64_t byte_offset = 0;
  DType dtype = DType::f32;
  Layout layout = Layout::plain;
  uint32_t rank = 0;
  uint32_t dims[max_tensor_rank] = {1, 1, 1, 1};
  uint32_t row_stride = 0;  // elements between indices of axis 0; 0: contiguous
};

// The 32-bit counter of one slot, in memory that the command list keeps alive.
struct Signal {
  int32_t* value = nullptr;
};

// Turns the numbers by which a packed list names buffers and counters into addresses; nullptr for a number that names nothing.
class HandleScope {
 public:
  virtual const Buffer* buffer(uint32_t handle) = 0;
  virtual int32_t* counter(uint32_t handle, uint32_t slot) = 0;

 protected:
  ~HandleScope() = default;
};

// Reads the fields of one command in order. Past the end, or at a value that cannot be, it remembers the first problem and returns empty
// fields: the caller asks `problem()` once, after the last field.
class CommandReader {
 public:
  CommandReader(const uint32_t* words, size_t num_words, const double* numbers, size_t num_numbers, HandleScope& handles)
      : words_(words), num_words_(num_words), numbers_(numbers), num_numbers_(num_numbers), handles_(handles) {}

  Tensor tensor();
  Tensor optional_tensor();
  Signal signal();
  uint32_t word();
  double number();

  // Static text, or nullptr. Words or numbers left over are a problem too.
  const char* problem() const;

 private:
  Tensor read_tensor(bool optional);
  void fail(const char* problem);

  const uint32_t* words_;
  size_t num_words_;
  const double* numbers_;
  size_t num_numbers_;
  size_t next_word_ = 0;
  size_t next_number_ = 0;
  HandleScope& handles_;
  const char* problem_ = nullptr;
};

}  // namespace thermocline
