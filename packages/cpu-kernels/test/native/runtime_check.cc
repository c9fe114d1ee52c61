// Checks the runtime without Node: pool, buffers, decoding, signals between two executors, cancellation, faults, weight files. Prints a line a
// check and exits with 1 at the first failure. Built with THERMOCLINE_HARNESS=ON and meant for the sanitizers.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <unordered_map>
#include <vector>

#include "thermocline/executor.h"
#include "thermocline/instruction_set.h"
#include "thermocline/step_signal.h"
#include "thermocline/weight_store.h"

using namespace thermocline;

namespace {

void expect(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "FAILED: %s\n", what);
  std::exit(1);
}

AllocationMeter new_meter() { return std::make_shared<std::atomic<uint64_t>>(0); }

// Writes what packCommands of @thermocline/spec writes.
class Recorder {
 public:
  explicit Recorder(std::vector<uint32_t>& words, std::vector<double>& numbers) : words_(words), numbers_(numbers) {}

  void begin(OpCode opcode) {
    finish();
    header_ = words_.size();
    first_number_ = numbers_.size();
    for (const uint32_t header : {static_cast<uint32_t>(opcode), 0u, 0u}) words_.push_back(header);
    open_ = true;
  }
  void tensor(uint32_t handle, DType dtype, std::vector<uint32_t> dims, double byte_offset = 0) {
    word(handle);
    word(static_cast<uint32_t>(dtype) | static_cast<uint32_t>(dims.size()) << 16);
    dims.resize(max_tensor_rank, 1);
    for (const uint32_t dim : dims) word(dim);
    word(0);
    word(0);
    numbers_.push_back(byte_offset);
  }
  void word(uint32_t value) { words_.push_back(value); }
  void number(double value) { numbers_.push_back(value); }
  void finish() {
    if (!open_) return;
    words_[header_ + 1] = static_cast<uint32_t>(words_.size() - header_ - 3);
    words_[header_ + 2] = static_cast<uint32_t>(numbers_.size() - first_number_);
    open_ = false;
  }

 private:
  std::vector<uint32_t>& words_;
  std::vector<double>& numbers_;
  size_t header_ = 0;
  size_t first_number_ = 0;
  bool open_ = false;
};

void check_pool() {
  for (const int threads : {1, 2, 3, 8}) {
    ThreadPool pool(threads);
    std::mt19937 random(static_cast<uint32_t>(threads));
    std::vector<std::atomic<int>> seen(1000);
    for (int round = 0; round < 3000; round++) {
      const int64_t items = random() % 1000;
      const int64_t grain = 1 + random() % 50;
      struct Context {
        std::vector<std::atomic<int>>& seen;
        int64_t grain;
        int threads;
        std::atomic<bool> bad{false};
      } context{seen, grain, threads};
      for (int64_t i = 0; i < items; i++) seen[static_cast<size_t>(i)].store(0, std::memory_order_relaxed);
      pool.run(
          items, grain,
          [](void* pointer, int64_t first, int64_t last, int thread) {
            Context& c = *static_cast<Context*>(pointer);
            if (last - first > c.grain || first >= last || thread < 0 || thread >= c.threads) c.bad = true;
            for (int64_t i = first; i < last; i++) c.seen[static_cast<size_t>(i)].fetch_add(1, std::memory_order_relaxed);
          },
          &context);
      expect(!context.bad, "ranges are at most `grain` long and threads are numbered");
      for (int64_t i = 0; i < items; i++) expect(seen[static_cast<size_t>(i)].load(std::memory_order_relaxed) == 1, "every item runs once");
      // Long enough for the workers to fall asleep now and then.
      if (round % 500 == 0) usleep(300);
    }
  }
  std::puts("pool: every item once, 4 pool sizes, 3000 jobs each");
}

void check_buffers() {
  const AllocationMeter meter = new_meter();
  {
    BufferTable table;
    for (const size_t length : {size_t{0}, size_t{1}, size_t{100}, size_t{1} << 20, (size_t{4} << 20) + 5}) {
      const uint64_t before = meter->load();
      const uint32_t handle = table.add(Buffer::allocate(length, meter));
      const std::shared_ptr<Buffer> buffer = table.find(handle);
      expect(meter->load() == before + length, "the meter counts exact lengths");
      expect(reinterpret_cast<uintptr_t>(buffer->data()) % buffer_alignment == 0, "buffers are aligned");
      expect(std::all_of(buffer->data(), buffer->data() + length, [](std::byte value) { return value == std::byte{0}; }), "buffers are zero");
      if (length > 0) std::memset(buffer->data(), 1, length);
      expect(buffer->holds(length, 0) && !buffer->holds(length, 1) && !buffer->holds(UINT64_MAX, 2) && !buffer->holds(0, UINT64_MAX),
             "extents are checked without overflow");
    }
    expect(Buffer::allocate(size_t{1} << 60, meter) == nullptr, "an impossible allocation is refused");
    const uint32_t handle = table.add(Buffer::allocate(64, meter));
    const std::shared_ptr<Buffer> held = table.remove(handle);
    expect(table.find(handle) == nullptr && table.remove(handle) == nullptr && held->data() != nullptr, "a removed buffer lives as long as its holder");
  }
  expect(meter->load() == 0, "every byte is given back");
  std::puts("buffers: alignment, zeroes, exact accounting");
}

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

void check_protocol() {
  const std::atomic<bool> running{false};
  std::atomic<bool> cancelled{true};
  int32_t value = 0;
  raise_signal(&value, 3);
  expect(value == 3, "a signal raises");
  raise_signal(&value, 2);
  expect(value == 3, "a signal never lowers");
  poison_signal(&value, 2);
  expect(value == 3, "a poison of an earlier step leaves a later signal");
  poison_signal(&value, 3);
  expect(value == -3, "a poison goes over the signal of its step");
  raise_signal(&value, 3);
  expect(value == -3, "a signal does not undo the poison of its step");
  expect(wait_for_signal(&value, 3, running) == WaitOutcome::poisoned, "the poison of a step is seen");
  expect(wait_for_signal(&value, 2, running) == WaitOutcome::poisoned, "a later poison is seen");
  expect(wait_for_signal(&value, 4, cancelled) == WaitOutcome::cancelled, "a cancelled wait leaves");
  raise_signal(&value, 4);
  expect(wait_for_signal(&value, 4, running) == WaitOutcome::passed && wait_for_signal(&value, 3, running) == WaitOutcome::passed,
         "this step's and a later signal are seen");
  value = 0;
  poison_signal(&value, INT32_MAX);
  expect(value == -INT32_MAX, "the last step can be poisoned");
  poison_signal(&value, 5);
  raise_signal(&value, 6);
  expect(value == -INT32_MAX, "nothing comes after the last step");
  std::puts("protocol: raise, poison, wait");
}

// Reports of one executor, by submission.
class Reports {
 public:
  Executor::Events events() {
    return {
        .submission_done =
            [this](SubmissionReport&& report) {
              std::lock_guard lock(mutex_);
              outcomes_.emplace(report.id, report.outcome);
              arrived_.notify_all();
            },
        .read_done =
            [this](ReadReport&& report) {
              std::lock_guard lock(mutex_);
              reads_.emplace(report.id, std::move(report.bytes));
              arrived_.notify_all();
            },
        .drained = [] {},
    };
  }
  Outcome outcome(uint64_t id) {
    std::unique_lock lock(mutex_);
    arrived_.wait(lock, [&] { return outcomes_.contains(id); });
    return outcomes_.at(id);
  }
  std::vector<std::byte> read(uint64_t id) {
    std::unique_lock lock(mutex_);
    arrived_.wait(lock, [&] { return reads_.contains(id); });
    return reads_.at(id);
  }
  size_t num_outcomes() {
    std::lock_guard lock(mutex_);
    return outcomes_.size();
  }

 private:
  std::mutex mutex_;
  std::condition_variable arrived_;
  std::unordered_map<uint64_t, Outcome> outcomes_;
  std::unordered_map<uint64_t, std::vector<std::byte>> reads_;
};

constexpr uint32_t num_columns = 256;
constexpr uint32_t num_rows = 64;

// One half of a split step over a shared activation: the first device adds 1 and hands over, the second doubles and hands back, the first
// adds 1 again. After step s from x it is 2 (x + 1) + 1.
struct SplitModel {
  AllocationMeter meter = new_meter();
  std::shared_ptr<Buffer> activation = Buffer::allocate(num_columns * num_rows * 4, meter);
  std::shared_ptr<Buffer> counters = Buffer::allocate(2 * 64, meter);
  BufferTable tables[2];
  std::shared_ptr<const CommandList> lists[2];

  SplitModel() {
    for (int device = 0; device < 2; device++) {
      const uint32_t x = tables[device].add(activation);
      const uint32_t one = tables[device].add(Buffer::allocate(num_columns * num_rows * 4, meter));
      float* ones = reinterpret_cast<float*>(tables[device].find(one)->data());
      std::fill_n(ones, num_columns * num_rows, 1.0f);
      std::vector<uint32_t> words;
      std::vector<double> numbers;
      Recorder recorder(words, numbers);
      const auto signal = [&](OpCode opcode, uint32_t slot) {
        recorder.begin(opcode);
        recorder.word(0);
        recorder.word(slot * 16);
      };
      const auto add = [&](uint32_t other) {
        recorder.begin(OpCode::add);
        for (const uint32_t handle : {x, x, other}) recorder.tensor(handle, DType::f32, {binding_bit | 1, num_columns});
      };
      if (device == 0) {
        add(one);
        signal(OpCode::signal, 0);
        signal(OpCode::wait, 1);
        add(one);
      } else {
        signal(OpCode::wait, 0);
        add(x);
        signal(OpCode::signal, 1);
      }
      recorder.finish();
      std::string problem;
      lists[device] = CommandList::decode(words.data(), words.size(), numbers.data(), numbers.size(), tables[device], {counters}, problem);
      expect(lists[device] != nullptr, problem.c_str());
    }
  }
};

void check_split_steps(const KernelTable& kernels) {
  SplitModel model;
  {
    Reports reports[2];
    Executor first(kernels, 2, reports[0].events());
    Executor second(kernels, 2, reports[1].events());
    Executor* executors[2] = {&first, &second};
    std::mt19937 random(7);
    int num_completed = 0, num_poisoned = 0, num_cancelled = 0, num_failed = 0;
    const int num_steps = 3000;
    float* x = reinterpret_cast<float*>(model.activation->data());
    for (int step = 1; step <= num_steps; step++) {
      std::fill_n(x, num_columns * num_rows, static_cast<float>(step));
      std::shared_ptr<Submission> submissions[2];
      for (int device = 0; device < 2; device++) {
        submissions[device] = std::make_shared<Submission>();
        submissions[device]->id = static_cast<uint64_t>(step);
        submissions[device]->list = model.lists[device];
        submissions[device]->bindings = {step, static_cast<int64_t>(1 + random() % num_rows), 1, 1, 1};
        submissions[device]->trace = random() % 2 == 0;
      }
      submissions[1]->bindings[1] = submissions[0]->bindings[1];
      const uint32_t accident = random() % 6;
      const int victim = static_cast<int>(random() % 2);
      if (accident == 0) submissions[victim]->fault_at_command = static_cast<int64_t>(random() % 4);
      if (accident == 1) submissions[victim]->bindings[1] = num_rows + 1;
      const int order = static_cast<int>(random() % 2);
      executors[order]->submit(submissions[order]);
      if (random() % 3 == 0) usleep(random() % 150);
      if (accident == 2) submissions[victim]->cancelled.store(true);
      executors[1 - order]->submit(submissions[1 - order]);
      if (accident == 3) {
        usleep(random() % 100);
        submissions[victim]->cancelled.store(true);
      }
      Outcome outcomes[2];
      for (int device = 0; device < 2; device++) {
        outcomes[device] = reports[device].outcome(static_cast<uint64_t>(step));
        num_completed += outcomes[device] == Outcome::completed;
        num_poisoned += outcomes[device] == Outcome::poisoned;
        num_cancelled += outcomes[device] == Outcome::cancelled;
        num_failed += outcomes[device] == Outcome::failed;
      }
      if (accident > 3) expect(outcomes[0] == Outcome::completed && outcomes[1] == Outcome::completed, "an undisturbed step completes");
      if (outcomes[0] == Outcome::completed) {
        const int64_t rows = submissions[0]->bindings[1];
        for (int64_t i = 0; i < rows * num_columns; i++) expect(x[i] == 2.0f * (static_cast<float>(step) + 1) + 1, "a completed step is right");
      }
      if (outcomes[0] == Outcome::failed || outcomes[0] == Outcome::cancelled)
        expect(outcomes[1] != Outcome::failed, "a fault of one device is no fault of the other");
    }
    expect(num_completed > 0 && num_poisoned > 0 && num_cancelled > 0 && num_failed > 0, "every outcome occurred");
    first.read(1, model.activation, 4, 8);
    const std::vector<std::byte> bytes = reports[0].read(1);
    expect(bytes.size() == 8 && std::memcmp(bytes.data(), model.activation->data() + 4, 8) == 0, "a read copies what it names");
    std::printf("split steps (%s): %d completed, %d poisoned, %d cancelled, %d failed lists\n", kernels.isa, num_completed, num_poisoned, num_cancelled, num_failed);
  }
}

// A device stops while its list waits for a partner that never comes, with more behind it.
void check_stop(const KernelTable& kernels) {
  for (int round = 0; round < 50; round++) {
    SplitModel model;
    Reports reports;
    {
      Executor executor(kernels, 2, reports.events());
      for (int step = 1; step <= 5; step++) {
        auto submission = std::make_shared<Submission>();
        submission->id = static_cast<uint64_t>(step);
        submission->list = model.lists[round % 2];
        submission->bindings = {step, 1, 1, 1, 1};
        executor.submit(std::move(submission));
      }
      executor.read(9, model.activation, 0, 4);
      if (round % 3 != 0) usleep(static_cast<unsigned>(round * 10));
    }
    expect(reports.num_outcomes() == 5, "every submission is reported before the executor ends");
    expect(reports.outcome(5) == Outcome::cancelled && reports.read(9).empty(), "what is queued is cancelled");
    const int32_t* counters = reinterpret_cast<const int32_t*>(model.counters->data());
    expect(counters[round % 2 == 0 ? 0 : 16] <= (round % 2 == 0 ? 1 : 0), "a stopped list leaves its signals poisoned");
  }
  std::puts("stop: waits are left, everything is reported");
}

void check_weights() {
  const char* directory = std::getenv("TMPDIR");
  std::string path = std::string(directory != nullptr ? directory : "/tmp") + "/thermocline-runtime-check-XXXXXX";
  const int file = mkstemp(path.data());
  expect(file >= 0, "a temporary file");
  constexpr int64_t rows = 3001, columns = 512;
  std::vector<float> values(static_cast<size_t>(rows * columns));
  for (size_t i = 0; i < values.size(); i++) values[i] = static_cast<float>(i);
  const size_t byte_length = values.size() * 4;
  expect(pwrite(file, values.data(), byte_length, 100) == static_cast<ssize_t>(byte_length), "the file is written");

  std::mutex mutex;
  std::condition_variable arrived;
  std::unordered_map<uint64_t, LoadReport> done;
  uint64_t num_bytes = 0;
  const AllocationMeter meter = new_meter();
  {
    WeightStore store({
        .load_done =
            [&](LoadReport&& report) {
              std::lock_guard lock(mutex);
              done.emplace(report.id, report);
              arrived.notify_all();
            },
        .progress =
            [&](uint64_t, uint64_t length) {
              std::lock_guard lock(mutex);
              num_bytes += length;
            },
    });
    uint64_t next_id = 0;
    const auto load = [&](Layout layout, std::vector<int64_t> row_ranges, std::vector<int64_t> column_ranges, std::string from, bool cancelled,
                          std::shared_ptr<Buffer>& buffer) {
      auto request = std::make_shared<LoadRequest>();
      request->id = next_id++;
      request->path = std::move(from);
      request->file_offset = 100;
      request->file_rows = rows;
      request->slices = {DType::f32, layout, 1, 4, columns, std::move(row_ranges), std::move(column_ranges)};
      expect(request->slices.problem(rows) == nullptr, "the slices are whole");
      buffer = Buffer::allocate(request->slices.byte_length(), meter);
      request->buffer = buffer;
      request->cancelled = cancelled;
      const uint64_t id = request->id;
      store.load(std::move(request));
      std::unique_lock lock(mutex);
      arrived.wait(lock, [&] { return done.contains(id); });
      return done.at(id);
    };
    std::shared_ptr<Buffer> buffer;
    expect(load(Layout::plain, {0, rows}, {0, columns}, path, false, buffer).outcome == LoadOutcome::completed, "a whole weight is loaded");
    expect(std::memcmp(buffer->data(), values.data(), byte_length) == 0 && num_bytes == byte_length, "as it lies in the file");
    expect(load(Layout::plain, {5, 2, 3000, 1}, {1, 2, 511, 1}, path, false, buffer).outcome == LoadOutcome::completed, "slices are loaded");
    const float* sliced = reinterpret_cast<const float*>(buffer->data());
    const float wanted[] = {2561, 2562, 3071, 3073, 3074, 3583, 1536001, 1536002, 1536511};
    expect(buffer->byte_length() == sizeof wanted && std::memcmp(sliced, wanted, sizeof wanted) == 0, "row by row");
    expect(load(Layout::packed, {1, 1, 7, 2999 - 7}, {256, 256}, path, false, buffer).outcome == LoadOutcome::completed, "packed slices are loaded");
    const float* packed = reinterpret_cast<const float*>(buffer->data());
    for (const int64_t row : {int64_t{0}, int64_t{1}, int64_t{2048}, int64_t{2992}})
      for (const int64_t column : {int64_t{0}, int64_t{255}}) {
        const int64_t file_row = row == 0 ? 1 : row + 6;
        const float value = packed[(row / 16 * 256 + column) * 16 + row % 16];
        expect(value == static_cast<float>(file_row * columns + 256 + column), "into interleaved groups of rows");
      }
    expect(load(Layout::plain, {0, rows}, {0, columns}, path, true, buffer).outcome == LoadOutcome::cancelled, "a cancelled load ends");
    const LoadReport missing = load(Layout::plain, {0, rows}, {0, columns}, path + "-missing", false, buffer);
    expect(missing.outcome == LoadOutcome::open_failed && missing.error_number == ENOENT, "a missing file is named");
    const LoadReport folder = load(Layout::plain, {0, rows}, {0, columns}, "/", false, buffer);
    expect(folder.outcome == LoadOutcome::open_failed && folder.error_number == 0, "a folder is no weight file");
    expect(ftruncate(file, 5000) == 0, "the file shrinks");
    const LoadReport cut = load(Layout::plain, {0, 1}, {0, columns}, path, false, buffer);
    expect(cut.outcome == LoadOutcome::truncated && cut.file_byte_length == 5000, "a short file is refused");
    // Requests that the destructor finds are reported too.
    expect(pwrite(file, values.data(), byte_length, 100) == static_cast<ssize_t>(byte_length), "the file is written again");
    for (int i = 0; i < 8; i++) {
      auto request = std::make_shared<LoadRequest>();
      request->id = 100 + static_cast<uint64_t>(i);
      request->path = path;
      request->file_offset = 100;
      request->file_rows = rows;
      request->slices = {DType::f32, Layout::plain, 1, 4, columns, {0, rows}, {0, columns}};
      request->buffer = Buffer::allocate(request->slices.byte_length(), meter);
      store.load(std::move(request));
    }
  }
  for (uint64_t id = 100; id < 108; id++) expect(done.contains(id), "every load is reported before the loader ends");
  expect(meter->load() == 0, "loads give their buffers back");
  WeightSlices cut{DType::q8_0, Layout::packed, 32, 34, 64, {0, 1}, {0, 33}};
  expect(cut.problem(1) != nullptr, "a cut block is refused");
  cut.column_ranges = {32, 32, 0, 32};
  expect(cut.problem(1) != nullptr, "ranges out of order are refused");
  cut.column_ranges = {0, 96};
  expect(cut.problem(1) != nullptr, "ranges outside are refused");
  close(file);
  unlink(path.c_str());
  std::puts("weights: slices, packing, files that are missing, short or shrink");
}

}  // namespace

int main() {
  check_pool();
  check_buffers();
  check_extents();
  check_decoding();
  check_protocol();
  for (const KernelTable* kernels : supported_kernels()) check_split_steps(*kernels);
  check_stop(scalar_kernels);
  check_weights();
  std::puts("runtime_check passed");
  return 0;
}
