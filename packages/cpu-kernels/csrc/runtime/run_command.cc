#include "run_command.h"

#include <cassert>

#include "workspace.h"

namespace thermocline {
namespace {

// Names the tensor that leaves its buffer. Field names are those of the op table.
class Views {
 public:
  explicit Views(const StepBindings& bindings) : bindings_(bindings) {}

  TensorView operator()(const char* field, const Tensor& tensor) {
    TensorView view;
    ExtentProblem problem{};
    if (!resolve(tensor, bindings_, view, problem) && detail_.empty())
      detail_ = std::string(field) + " needs " + text_of(problem.extent) + " bytes at this step's bindings, its buffer has " +
                text_of(problem.available) + " from its offset on";
    return view;
  }

  // Scratch memory that a kernel takes by size rather than by shape.
  void require_workspace(const TensorView& workspace, int64_t needed) {
    if (needed <= 0 || !detail_.empty()) return;
    const uint64_t byte_length = static_cast<uint64_t>(needed);
    const StorageBlock block = storage_block(workspace.dtype);
    uint64_t has = 0;
    if (workspace) {
      has = block.bytes;
      for (const int64_t dim : workspace.shape) has *= static_cast<uint64_t>(dim);
      has /= block.elements;
    }
    if (has < byte_length) detail_ = "workspace needs " + text_of(byte_length) + " bytes, it has " + text_of(has);
  }

  std::string& detail() { return detail_; }

 private:
  static std::string text_of(uint64_t value) { return value == UINT64_MAX ? "more than 2^63" : std::to_string(value); }

  const StepBindings& bindings_;
  std::string detail_;
};

struct Runner {
  Views& views;
  const KernelTable& kernels;
  const Parallel& parallel;

  Status operator()(const EmbedCommand& c) {
    const TensorView out = views("out", c.out), table = views("table", c.table), token_ids = views("tokenIds", c.token_ids);
    return ready() ? kernels.embed(out, table, token_ids, c.scale, parallel) : Status{};
  }
  Status operator()(const GatherRowsCommand& c) {
    const TensorView out = views("out", c.out), x = views("x", c.x), rows = views("rows", c.rows);
    return ready() ? kernels.gather_rows(out, x, rows, parallel) : Status{};
  }
  Status operator()(const RmsNormCommand& c) {
    const TensorView out = views("out", c.out), x = views("x", c.x), weight = views("weight", c.weight);
    return ready() ? kernels.rms_norm(out, x, weight, c.eps, parallel) : Status{};
  }
  Status operator()(const LayerNormCommand& c) {
    const TensorView out = views("out", c.out), x = views("x", c.x), weight = views("weight", c.weight), bias = views("bias", c.bias);
    return ready() ? kernels.layer_norm(out, x, weight, bias, c.eps, parallel) : Status{};
  }
  Status operator()(const MatmulCommand& c) {
    const TensorView out = views("out", c.out), x = views("x", c.x), weight = views("weight", c.weight), bias = views("bias", c.bias),
                     workspace = views("workspace", c.workspace);
    if (ready()) views.require_workspace(workspace, matmul_workspace_bytes(weight.dtype, x.shape[0], x.shape[1]));
    return ready() ? kernels.matmul(out, x, weight, bias, workspace, parallel) : Status{};
  }
  Status operator()(const RopeCommand& c) {
    const TensorView q = views("q", c.q), k = views("k", c.k), positions = views("positions", c.positions),
                     frequency_factors = views("frequencyFactors", c.frequency_factors);
    return ready() ? kernels.rope(q, k, positions, frequency_factors, c.theta, c.magnitude, c.dims, c.mode, parallel) : Status{};
  }
  Status operator()(const StoreKvCommand& c) {
    const TensorView k = views("k", c.k), v = views("v", c.v), key_cache = views("keyCache", c.key_cache),
                     value_cache = views("valueCache", c.value_cache), slot_mapping = views("slotMapping", c.slot_mapping);
    return ready() ? kernels.store_kv(k, v, key_cache, value_cache, slot_mapping, parallel) : Status{};
  }
  Status operator()(const AttentionCommand& c) {
    const TensorView out = views("out", c.out), q = views("q", c.q), key_cache = views("keyCache", c.key_cache),
                     value_cache = views("valueCache", c.value_cache), block_tables = views("blockTables", c.block_tables),
                     context_lengths = views("contextLengths", c.context_lengths), query_starts = views("queryStarts", c.query_starts);
    if (!ready()) return {};
    return kernels.attention(out, q, key_cache, value_cache, block_tables, context_lengths, query_starts, c.scale, c.softcap, c.sliding_window,
                             c.causal, parallel);
  }
  Status operator()(const ActivateCommand& c) {
    const TensorView out = views("out", c.out), gate = views("gate", c.gate), up = views("up", c.up);
    return ready() ? kernels.activate(out, gate, up, c.activation, parallel) : Status{};
  }
  Status operator()(const AddCommand& c) {
    const TensorView out = views("out", c.out), a = views("a", c.a), b = views("b", c.b);
    return ready() ? kernels.add(out, a, b, parallel) : Status{};
  }
  Status operator()(const SoftcapCommand& c) {
    const TensorView out = views("out", c.out), x = views("x", c.x);
    return ready() ? kernels.softcap(out, x, c.cap, parallel) : Status{};
  }
  Status operator()(const SampleCommand& c) {
    const TensorView token_ids = views("tokenIds", c.token_ids), logits = views("logits", c.logits), params = views("params", c.params),
                     random_state = views("randomState", c.random_state), edit_ids = views("editIds", c.edit_ids),
                     edit_values = views("editValues", c.edit_values), surprise_limits = views("surpriseLimits", c.surprise_limits),
                     workspace = views("workspace", c.workspace);
    if (ready() && logits.shape[0] > 0) views.require_workspace(workspace, sample_workspace_bytes(parallel.threads, logits.shape[1]));
    if (!ready()) return {};
    return kernels.sample(token_ids, logits, params, random_state, edit_ids, edit_values, surprise_limits, workspace, parallel);
  }
  Status operator()(const TopLogprobsCommand& c) {
    const TensorView ids = views("ids", c.ids), logprobs = views("logprobs", c.logprobs), logits = views("logits", c.logits),
                     sampled_token_ids = views("sampledTokenIds", c.sampled_token_ids);
    return ready() ? kernels.top_logprobs(ids, logprobs, logits, sampled_token_ids, parallel) : Status{};
  }
  Status operator()(const RouteExpertsCommand& c) {
    const TensorView expert_ids = views("expertIds", c.expert_ids), expert_weights = views("expertWeights", c.expert_weights),
                     logits = views("logits", c.logits);
    return ready() ? kernels.route_experts(expert_ids, expert_weights, logits, c.normalize, parallel) : Status{};
  }
  Status operator()(const ExpertMatmulCommand& c) {
    const TensorView out = views("out", c.out), x = views("x", c.x), weight = views("weight", c.weight),
                     expert_ids = views("expertIds", c.expert_ids), expert_slots = views("expertSlots", c.expert_slots),
                     workspace = views("workspace", c.workspace);
    if (ready())
      views.require_workspace(workspace, expert_workspace(weight.dtype, out.shape[0] * out.shape[1], weight.shape[2], expert_slots.shape[0]).byte_length);
    return ready() ? kernels.expert_matmul(out, x, weight, expert_ids, expert_slots, workspace, parallel) : Status{};
  }
  Status operator()(const CombineExpertsCommand& c) {
    const TensorView out = views("out", c.out), x = views("x", c.x), expert_weights = views("expertWeights", c.expert_weights);
    return ready() ? kernels.combine_experts(out, x, expert_weights, parallel) : Status{};
  }
  Status operator()(const MeanPoolCommand& c) {
    const TensorView out = views("out", c.out), x = views("x", c.x), query_starts = views("queryStarts", c.query_starts);
    return ready() ? kernels.mean_pool(out, x, query_starts, parallel) : Status{};
  }
  Status operator()(const FillCommand& c) {
    const TensorView out = views("out", c.out);
    return ready() ? kernels.fill(out, c.value, parallel) : Status{};
  }
  Status operator()(const CopyCommand& c) {
    const TensorView to = views("to", c.to), from = views("from", c.from);
    return ready() ? kernels.copy(to, from, parallel) : Status{};
  }
  Status operator()(const SignalCommand&) { return not_a_kernel(); }
  Status operator()(const WaitCommand&) { return not_a_kernel(); }

  bool ready() const { return views.detail().empty(); }
  static Status not_a_kernel() {
    assert(false);
    return {};
  }
};

}  // namespace

std::optional<std::string> run_command(const Command& command, const StepBindings& bindings, const KernelTable& kernels, const Parallel& parallel) {
  Views views(bindings);
  const Status status = std::visit(Runner{views, kernels, parallel}, command);
  if (!views.detail().empty()) return std::move(views.detail());
  if (status.ok()) return std::nullopt;
  return std::string(status.problem) + " (value " + std::to_string(status.value) + ", limit " + std::to_string(status.limit) + ")";
}

}  // namespace thermocline
