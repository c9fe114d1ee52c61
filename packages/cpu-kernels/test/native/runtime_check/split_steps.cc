// Two executors that hand one activation to and fro, disturbed by faults, cancellation and disposal.
#include "runtime_check.h"

#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <cstdio>
#include <cstring>
#include <mutex>
#include <random>
#include <string>
#include <unordered_map>

#include "thermocline/executor.h"

namespace thermocline::runtime_check {
namespace {

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

}  // namespace

void check_split_steps(const KernelTable& kernels) {
  SplitModel model;
  {
    Reports reports[2];
    Executor first(kernels, 2, reports[0].events());
    // Throttled, so that accidents also meet a device that waits after a command.
    Executor second(kernels, 2, reports[1].events(), 3);
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

}  // namespace thermocline::runtime_check
