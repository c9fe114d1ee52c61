// Runs command lists in the order of submission, on its own thread and the pool's.
#pragma once
#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <variant>
#include <vector>

#include "thermocline/command_list.h"
#include "thermocline/thread_pool.h"
#include "thermocline/throttle.h"

namespace thermocline {

enum class Outcome : uint32_t { completed = 0, cancelled = 1, poisoned = 2, failed = 3 };

struct Submission {
  uint64_t id = 0;
  std::shared_ptr<const CommandList> list;
  StepBindings bindings{};
  bool trace = false;
  int64_t fault_at_command = -1;
  std::atomic<bool> cancelled{false};
};

struct SubmissionReport {
  uint64_t id = 0;
  Outcome outcome = Outcome::completed;
  // With Outcome::failed:
  size_t command_index = 0;
  const char* op = "";
  std::string detail;
  // With trace: begin and end of each stretch in ms of CLOCK_MONOTONIC, num_signals + 1 pairs. Stretches that a list left early did not
  // reach are empty and lie at its end.
  std::vector<double> stretches_ms;
};

struct ReadReport {
  uint64_t id = 0;
  std::vector<std::byte> bytes;
  bool cancelled = false;
};

class Executor {
 public:
  // Called on the executor's thread; they must not call back into it.
  struct Events {
    std::function<void(SubmissionReport&&)> submission_done;
    std::function<void(ReadReport&&)> read_done;
    // The last event: everything submitted has been reported and the thread is about to end.
    std::function<void()> drained;
  };

  // After each command the executor waits throttle - 1 times as long as the command took; see Throttle.
  // Throws std::system_error where the system refuses a thread.
  Executor(const KernelTable& kernels, int threads, Events events, double throttle = 1);
  ~Executor();
  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;

  // A step number below 1 is refused by the caller: lists with signals count from 1.
  void submit(std::shared_ptr<Submission> submission);
  // Copies bytes out after everything submitted before.
  void read(uint64_t id, std::shared_ptr<const Buffer> buffer, size_t byte_offset, size_t byte_length);
  // Cancels what runs and what is queued, reports all of it, then ends the thread. Nothing may be submitted afterwards. Returns at once.
  void stop();
  // Waits for the thread's end; `stop` comes first.
  void join();

 private:
  struct ReadRequest {
    uint64_t id;
    std::shared_ptr<const Buffer> buffer;
    size_t byte_offset;
    size_t byte_length;
  };
  using Job = std::variant<std::shared_ptr<Submission>, ReadRequest>;

  void loop();
  void run(Submission& submission);
  void run(ReadRequest& request);
  std::optional<std::string> run_kernel(const RecordedCommand& recorded, const Submission& submission);

  const KernelTable& kernels_;
  Events events_;
  ThreadPool pool_;
  Throttle throttle_;
  std::mutex mutex_;
  std::condition_variable job_added_;
  std::deque<Job> jobs_;
  std::shared_ptr<Submission> running_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace thermocline
