#include "thermocline/executor.h"

#include <optional>
#include <utility>

#include "run_command.h"
#include "thermocline/futex.h"
#include "thermocline/step_signal.h"

namespace thermocline {
namespace {

double monotonic_ms() { return static_cast<double>(monotonic_ns()) / 1e6; }

// Begin and end of what runs between waits and signals.
class Stretches {
 public:
  Stretches(bool trace, size_t num_signals) : num_times_(trace ? 2 * (num_signals + 1) : 0) {
    times_ms_.reserve(num_times_);
    mark();
  }
  // One stretch ends, or one begins.
  void mark() {
    if (times_ms_.size() < num_times_) times_ms_.push_back(monotonic_ms());
  }
  std::vector<double> finish() {
    mark();
    times_ms_.resize(num_times_, times_ms_.empty() ? 0 : times_ms_.back());
    return std::move(times_ms_);
  }

 private:
  size_t num_times_;
  std::vector<double> times_ms_;
};

int32_t* signalled_value(const RecordedCommand& recorded) {
  const SignalCommand* signal = std::get_if<SignalCommand>(&recorded.command);
  return signal != nullptr ? signal->signal.value : nullptr;
}

}  // namespace

Executor::Executor(const KernelTable& kernels, int threads, Events events, double throttle)
    : kernels_(kernels), events_(std::move(events)), pool_(threads), throttle_(throttle) {
  thread_ = std::thread([this] { loop(); });
}

Executor::~Executor() {
  stop();
  join();
}

void Executor::submit(std::shared_ptr<Submission> submission) {
  {
    std::lock_guard lock(mutex_);
    jobs_.push_back(std::move(submission));
  }
  job_added_.notify_one();
}

void Executor::read(uint64_t id, std::shared_ptr<const Buffer> buffer, size_t byte_offset, size_t byte_length) {
  {
    std::lock_guard lock(mutex_);
    jobs_.push_back(ReadRequest{id, std::move(buffer), byte_offset, byte_length});
  }
  job_added_.notify_one();
}

void Executor::stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    if (running_) running_->cancelled.store(true);
    for (Job& job : jobs_)
      if (auto* submission = std::get_if<std::shared_ptr<Submission>>(&job)) (*submission)->cancelled.store(true);
  }
  job_added_.notify_one();
}

void Executor::join() {
  if (thread_.joinable()) thread_.join();
}

void Executor::loop() {
  while (true) {
    std::optional<Job> job;
    {
      std::unique_lock lock(mutex_);
      running_.reset();
      job_added_.wait(lock, [this] { return stopping_ || !jobs_.empty(); });
      if (jobs_.empty()) break;
      job = std::move(jobs_.front());
      jobs_.pop_front();
      if (auto* submission = std::get_if<std::shared_ptr<Submission>>(&*job)) running_ = *submission;
    }
    if (auto* submission = std::get_if<std::shared_ptr<Submission>>(&*job)) {
      run(**submission);
    } else {
      run(std::get<ReadRequest>(*job));
    }
  }
  events_.drained();
}

void Executor::run(Submission& submission) {
  const CommandList& list = *submission.list;
  const RunningThreads running(pool_.parallel().threads);
  const int32_t step = static_cast<int32_t>(submission.bindings[static_cast<size_t>(Binding::step)]);
  Stretches stretches(submission.trace, list.num_signals());
  SubmissionReport report;
  report.id = submission.id;

  size_t index = 0;
  for (; index < list.size() && report.outcome == Outcome::completed; index++) {
    const RecordedCommand& recorded = list[index];
    if (submission.cancelled.load()) {
      report.outcome = Outcome::cancelled;
      break;
    }
    std::optional<std::string> failure;
    if (static_cast<int64_t>(index) == submission.fault_at_command) {
      failure = "the fault that this submission asked for";
    } else if (const auto* wait = std::get_if<WaitCommand>(&recorded.command)) {
      stretches.mark();
      const WaitOutcome waited = wait_for_signal(wait->signal.value, step, submission.cancelled);
      stretches.mark();
      if (waited == WaitOutcome::cancelled) report.outcome = Outcome::cancelled;
      if (waited == WaitOutcome::poisoned) report.outcome = Outcome::poisoned;
    } else if (int32_t* value = signalled_value(recorded)) {
      stretches.mark();
      raise_signal(value, step);
      stretches.mark();
    } else {
      failure = run_kernel(recorded, submission);
    }
    if (failure) {
      report.outcome = Outcome::failed;
      report.command_index = index;
      report.op = op_name(recorded.opcode);
      report.detail = std::move(*failure);
      break;
    }
  }
  if (report.outcome != Outcome::completed) {
    for (; index < list.size(); index++)
      if (int32_t* value = signalled_value(list[index])) poison_signal(value, step);
  }
  report.stretches_ms = stretches.finish();
  // Before the report: whoever hears it may count on the list's buffers being free.
  submission.list.reset();
  events_.submission_done(std::move(report));
}

std::optional<std::string> Executor::run_kernel(const RecordedCommand& recorded, const Submission& submission) {
  const int64_t begin_ns = throttle_.active() ? monotonic_ns() : 0;
  std::optional<std::string> failure = run_command(recorded.command, submission.bindings, kernels_, pool_.parallel());
  if (throttle_.active()) throttle_.wait_after(monotonic_ns() - begin_ns, submission.cancelled);
  return failure;
}

void Executor::run(ReadRequest& request) {
  ReadReport report;
  report.id = request.id;
  {
    std::lock_guard lock(mutex_);
    report.cancelled = stopping_;
  }
  if (!report.cancelled) {
    const std::byte* first = request.buffer->data() + request.byte_offset;
    report.bytes.assign(first, first + request.byte_length);
  }
  request.buffer.reset();
  events_.read_done(std::move(report));
}

}  // namespace thermocline
