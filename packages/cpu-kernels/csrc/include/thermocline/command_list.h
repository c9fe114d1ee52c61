// Recorded commands, decoded once, replayed with new bindings.
#pragma once
#include <array>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "thermocline/buffer.h"
#include "thermocline/commands.h"
#include "thermocline/tensor_view.h"

namespace thermocline {

// One step's values, in the order of `Binding`.
using StepBindings = std::array<int64_t, num_bindings>;

struct RecordedCommand {
  OpCode opcode;
  Command command;
};

class CommandList {
 public:
  // `counters[i]` is the memory of the signals with handle i. On malformed input: nullptr, and `problem` says which command and why.
  static std::shared_ptr<const CommandList> decode(const uint32_t* words, size_t num_words, const double* numbers, size_t num_numbers,
                                                   const BufferTable& buffers, std::vector<std::shared_ptr<Buffer>> counters,
                                                   std::string& problem);

  size_t size() const { return commands_.size(); }
  const RecordedCommand& operator[](size_t index) const { return commands_[index]; }
  // Waits and signals together.
  size_t num_signals() const { return num_signals_; }
  size_t byte_length() const;

 private:
  std::vector<RecordedCommand> commands_;
  std::vector<std::shared_ptr<const Buffer>> buffers_;
  size_t num_signals_ = 0;
};

// What is wrong with a tensor at one step's bindings: `extent` bytes are needed where `available` follow its offset.
struct ExtentProblem {
  uint64_t extent;
  uint64_t available;
};

// Fills `view` for one step. False where the tensor does not lie inside its buffer; then `problem` is filled.
bool resolve(const Tensor& tensor, const StepBindings& bindings, TensorView& view, ExtentProblem& problem);

}  // namespace thermocline
