#include "thermocline/command_list.h"

#include <cstdint>
#include <utility>

#include "thermocline/kernel_table.h"

namespace thermocline {
namespace {

class ListHandles final : public HandleScope {
 public:
  ListHandles(const BufferTable& buffers, const std::vector<std::shared_ptr<Buffer>>& counters, std::vector<std::shared_ptr<const Buffer>>& held)
      : buffers_(buffers), counters_(counters), held_(held) {}

  const Buffer* buffer(uint32_t handle) override {
    std::shared_ptr<Buffer> found = buffers_.find(handle);
    if (found == nullptr) return nullptr;
    const Buffer* address = found.get();
    if (seen_.emplace(handle, address).second) held_.push_back(std::move(found));
    return address;
  }

  int32_t* counter(uint32_t handle, uint32_t slot) override {
    if (handle >= counters_.size()) return nullptr;
    const Buffer& memory = *counters_[handle];
    const bool aligned = reinterpret_cast<uintptr_t>(memory.data()) % alignof(int32_t) == 0;
    if (!aligned || !memory.holds(uint64_t{slot} * sizeof(int32_t), sizeof(int32_t))) return nullptr;
    return reinterpret_cast<int32_t*>(memory.data()) + slot;
  }

 private:
  const BufferTable& buffers_;
  const std::vector<std::shared_ptr<Buffer>>& counters_;
  std::vector<std::shared_ptr<const Buffer>>& held_;
  std::unordered_map<uint32_t, const Buffer*> seen_;
};

const char* invalid_tensor(const Tensor& tensor) {
  if (tensor.buffer == nullptr) return nullptr;
  if (storage_block(tensor.dtype).elements == 0) return "has a tensor of an unknown storage type";
  if (tensor.layout == Layout::packed && (tensor.rank < 2 || tensor.rank > 3 || tensor.row_stride != 0 || !can_pack(tensor.dtype)))
    return "has a packed tensor that is no whole matrix, or list of matrices, of a packed type";
  const uint32_t alignment = tensor.layout == Layout::packed ? 32 : tensor.dtype == DType::f32 || tensor.dtype == DType::i32 ? 4 : tensor.dtype == DType::f16 || tensor.dtype == DType::bf16 ? 2 : 1;
  return tensor.byte_offset % alignment == 0 ? nullptr : "has a tensor at a byte offset that its storage type does not allow";
}

const char* first_of(const char* a, const char* b) { return a != nullptr ? a : b; }

// Kernels lay out structures of their own there: by address, because imported memory may begin anywhere.
const char* invalid_workspace(const Tensor& workspace) {
  if (workspace.buffer == nullptr) return nullptr;
  if (workspace.dtype != DType::i8 || workspace.layout != Layout::plain) return "has a workspace that is no plain i8 tensor";
  const uintptr_t address = reinterpret_cast<uintptr_t>(workspace.buffer->data()) + workspace.byte_offset;
  return address % buffer_alignment == 0 ? nullptr : "has a workspace at an address that is no multiple of 64";
}

template <typename... Tensors>
const char* invalid_among(const Tensors&... tensors) {
  const char* problem = nullptr;
  ((problem = first_of(problem, invalid_tensor(tensors))), ...);
  return problem;
}

// What no reader can see: enum values, storage types, workspaces and alignment.
struct Validator {
  const char* operator()(const EmbedCommand& c) const { return invalid_among(c.out, c.table, c.token_ids); }
  const char* operator()(const GatherRowsCommand& c) const { return invalid_among(c.out, c.x, c.rows); }
  const char* operator()(const RmsNormCommand& c) const { return invalid_among(c.out, c.x, c.weight); }
  const char* operator()(const LayerNormCommand& c) const { return invalid_among(c.out, c.x, c.weight, c.bias); }
  const char* operator()(const MatmulCommand& c) const { return first_of(invalid_among(c.out, c.x, c.weight, c.bias), invalid_workspace(c.workspace)); }
  const char* operator()(const RopeCommand& c) const {
    if (c.mode != RopeMode::normal && c.mode != RopeMode::neox) return "has an unknown rope mode";
    return invalid_among(c.q, c.k, c.positions, c.frequency_factors);
  }
  const char* operator()(const StoreKvCommand& c) const { return invalid_among(c.k, c.v, c.key_cache, c.value_cache, c.slot_mapping); }
  const char* operator()(const AttentionCommand& c) const {
    return invalid_among(c.out, c.q, c.key_cache, c.value_cache, c.block_tables, c.context_lengths, c.query_starts);
  }
  const char* operator()(const ActivateCommand& c) const {
    if (static_cast<uint32_t>(c.activation) > static_cast<uint32_t>(Activation::relu)) return "has an unknown activation";
    return invalid_among(c.out, c.gate, c.up);
  }
  const char* operator()(const AddCommand& c) const { return invalid_among(c.out, c.a, c.b); }
  const char* operator()(const SoftcapCommand& c) const { return invalid_among(c.out, c.x); }
  const char* operator()(const SampleCommand& c) const {
    return first_of(invalid_among(c.token_ids, c.logits, c.params, c.random_state, c.edit_ids, c.edit_values, c.surprise_limits), invalid_workspace(c.workspace));
  }
  const char* operator()(const TopLogprobsCommand& c) const { return invalid_among(c.ids, c.logprobs, c.logits, c.sampled_token_ids); }
  const char* operator()(const RouteExpertsCommand& c) const { return invalid_among(c.expert_ids, c.expert_weights, c.logits); }
  const char* operator()(const ExpertMatmulCommand& c) const {
    return first_of(invalid_among(c.out, c.x, c.weight, c.expert_ids, c.expert_slots), invalid_workspace(c.workspace));
  }
  const char* operator()(const CombineExpertsCommand& c) const { return invalid_among(c.out, c.x, c.expert_weights); }
  const char* operator()(const MeanPoolCommand& c) const { return invalid_among(c.out, c.x, c.query_starts); }
  const char* operator()(const FillCommand& c) const { return invalid_among(c.out); }
  const char* operator()(const CopyCommand& c) const { return invalid_among(c.to, c.from); }
  const char* operator()(const SignalCommand&) const { return nullptr; }
  const char* operator()(const WaitCommand&) const { return nullptr; }
};

}  // namespace

std::shared_ptr<const CommandList> CommandList::decode(const uint32_t* words, size_t num_words, const double* numbers, size_t num_numbers,
                                                       const BufferTable& buffers, std::vector<std::shared_ptr<Buffer>> counters,
                                                       std::string& problem) {
  constexpr size_t header_words = 3;  // opcode, words, numbers
  auto list = std::make_shared<CommandList>();
  ListHandles handles(buffers, counters, list->buffers_);
  size_t word = 0;
  size_t number = 0;
  while (word < num_words) {
    const std::string where = "command " + std::to_string(list->commands_.size()) + " ";
    if (num_words - word < header_words) {
      problem = where + "is cut off";
      return nullptr;
    }
    const OpCode opcode = static_cast<OpCode>(words[word]);
    const size_t command_words = words[word + 1];
    const size_t command_numbers = words[word + 2];
    word += header_words;
    if (command_words > num_words - word || command_numbers > num_numbers - number) {
      problem = where + "is cut off";
      return nullptr;
    }
    CommandReader reader(words + word, command_words, numbers + number, command_numbers, handles);
    const std::optional<Command> command = read_command(opcode, reader);
    if (!command) {
      problem = where + "has the unknown opcode " + std::to_string(static_cast<uint32_t>(opcode));
      return nullptr;
    }
    if (const char* found = first_of(reader.problem(), reader.problem() ? nullptr : std::visit(Validator{}, *command))) {
      problem = where + "(" + op_name(opcode) + ") " + found;
      return nullptr;
    }
    if (opcode == OpCode::signal || opcode == OpCode::wait) list->num_signals_++;
    list->commands_.push_back({opcode, *command});
    word += command_words;
    number += command_numbers;
  }
  if (number != num_numbers) {
    problem = "numbers are left over after the last command";
    return nullptr;
  }
  for (std::shared_ptr<Buffer>& memory : counters) list->buffers_.push_back(std::move(memory));
  list->commands_.shrink_to_fit();
  return list;
}

size_t CommandList::byte_length() const {
  return sizeof(CommandList) + commands_.capacity() * sizeof(RecordedCommand) + buffers_.capacity() * sizeof(buffers_[0]);
}

bool resolve(const Tensor& tensor, const StepBindings& bindings, TensorView& view, ExtentProblem& problem) {
  view = TensorView{};
  if (tensor.buffer == nullptr) return true;
  view.dtype = tensor.dtype;
  view.layout = tensor.layout;
  view.rank = tensor.rank;
  bool empty = false;
  for (uint32_t axis = 0; axis < max_tensor_rank; axis++) {
    const uint32_t dim = tensor.dims[axis];
    view.shape[axis] = (dim & binding_bit) != 0 ? bindings[dim & ~binding_bit] : static_cast<int64_t>(dim);
    empty = empty || view.shape[axis] == 0;
  }
  // Unsigned 64-bit with overflow caught: four dimensions of 2^31 do not fit.
  const StorageBlock block = storage_block(tensor.dtype);
  uint64_t row_elements = 1;
  bool overflow = false;
  for (uint32_t axis = 1; axis < max_tensor_rank; axis++)
    overflow |= __builtin_mul_overflow(row_elements, static_cast<uint64_t>(view.shape[axis]), &row_elements);
  view.row_stride = tensor.row_stride != 0 ? tensor.row_stride : static_cast<int64_t>(row_elements);
  uint64_t extent = 0;
  const uint64_t rows = static_cast<uint64_t>(view.shape[0]);
  if (empty) {
    extent = 0;
  } else if (overflow || rows > INT64_MAX / 8 || row_elements > INT64_MAX / 8) {
    extent = UINT64_MAX;
  } else if (tensor.layout == Layout::packed) {
    // A list of matrices is one packed matrix after the other.
    const uint64_t matrices = tensor.rank == 3 ? rows : 1;
    const int64_t matrix_rows = tensor.rank == 3 ? view.shape[1] : view.shape[0];
    const uint64_t columns = static_cast<uint64_t>(tensor.rank == 3 ? view.shape[2] : view.shape[1]);
    overflow = matrix_rows > (int64_t{1} << 31) || columns > (uint64_t{1} << 31) || columns % block.elements != 0;
    overflow = overflow || __builtin_mul_overflow(matrices, packed_byte_length(tensor.dtype, matrix_rows, static_cast<int64_t>(columns)), &extent);
    if (overflow) extent = UINT64_MAX;
  } else {
    const uint64_t row_bytes = (row_elements + block.elements - 1) / block.elements * block.bytes;
    const uint64_t stride_bytes = static_cast<uint64_t>(view.row_stride) / block.elements * block.bytes;
    overflow = __builtin_mul_overflow(rows - 1, stride_bytes, &extent) || __builtin_add_overflow(extent, row_bytes, &extent);
    if (overflow) extent = UINT64_MAX;
  }
  const uint64_t byte_length = tensor.buffer->byte_length();
  problem = {extent, tensor.byte_offset <= byte_length ? byte_length - tensor.byte_offset : 0};
  if (!tensor.buffer->holds(tensor.byte_offset, extent)) return false;
  view.data = tensor.buffer->data() + tensor.byte_offset;
  return true;
}

}  // namespace thermocline
