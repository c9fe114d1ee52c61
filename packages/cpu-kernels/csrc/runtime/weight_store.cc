#include "thermocline/weight_store.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <utility>

#include "thermocline/futex.h"

namespace thermocline {
namespace {

// Below the size from which a buffer asks for huge pages.
constexpr size_t piece_bytes = size_t{2} << 20;
constexpr uint64_t max_weight_bytes = uint64_t{1} << 53;
constexpr int64_t progress_interval_ns = 30'000'000;
constexpr std::chrono::milliseconds staging_idle_time{50};

int64_t count_of(const std::vector<int64_t>& ranges) {
  int64_t count = 0;
  for (size_t i = 1; i < ranges.size(); i += 2) count += ranges[i];
  return count;
}

const char* range_problem(const std::vector<int64_t>& ranges, int64_t length, uint32_t granularity) {
  if (ranges.size() % 2 != 0) return "ranges come in pairs";
  int64_t end = 0;
  for (size_t i = 0; i < ranges.size(); i += 2) {
    const int64_t first = ranges[i], count = ranges[i + 1];
    if (first < end || count < 0 || first > length || count > length - first) return "ranges leave the tensor or are out of order";
    if (first % granularity != 0 || count % granularity != 0) return "ranges cut a quantisation block";
    end = first + count;
  }
  return nullptr;
}

// Calls visit(file_row, count) for each run of consecutive file rows that selected rows [first, first + count) consist of.
template <typename Visit>
bool for_each_run(const std::vector<int64_t>& row_ranges, int64_t first, int64_t count, Visit visit) {
  for (size_t i = 0; i < row_ranges.size() && count > 0; i += 2) {
    const int64_t range_rows = row_ranges[i + 1];
    if (first >= range_rows) {
      first -= range_rows;
      continue;
    }
    const int64_t run = std::min(count, range_rows - first);
    if (!visit(row_ranges[i] + first, run)) return false;
    count -= run;
    first = 0;
  }
  return true;
}

class FileDescriptor {
 public:
  // O_NONBLOCK: opening a pipe must not wait for its other end.
  explicit FileDescriptor(const char* path) : descriptor_(open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {}
  ~FileDescriptor() {
    if (descriptor_ >= 0) close(descriptor_);
  }
  FileDescriptor(const FileDescriptor&) = delete;
  FileDescriptor& operator=(const FileDescriptor&) = delete;
  int get() const { return descriptor_; }

 private:
  int descriptor_;
};

// Bytes read; fewer than asked for at the end of the file; -1 with errno set.
ssize_t read_fully(int file, std::byte* into, size_t length, uint64_t offset) {
  size_t done = 0;
  while (done < length) {
    const ssize_t got = pread(file, into + done, length - done, static_cast<off_t>(offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return -1;
    if (got == 0) break;
    done += static_cast<size_t>(got);
  }
  return static_cast<ssize_t>(done);
}

}  // namespace

int64_t WeightSlices::num_rows() const { return count_of(row_ranges); }

int64_t WeightSlices::num_columns() const { return count_of(column_ranges); }

size_t WeightSlices::byte_length() const {
  if (layout == Layout::packed) {
    const int64_t rows = num_rows();
    if (matrix_rows == 0) return packed_byte_length(dtype, rows, num_columns());
    return static_cast<size_t>(rows / matrix_rows) * packed_byte_length(dtype, matrix_rows, num_columns());
  }
  return static_cast<size_t>(num_rows()) * static_cast<size_t>(num_columns() / block_elements) * block_bytes;
}

const char* WeightSlices::problem(int64_t rows) const {
  if (block_elements == 0 || block_bytes == 0 || columns < 0 || columns % block_elements != 0) return "rows are no whole number of blocks";
  if (layout == Layout::packed && !can_pack(dtype)) return "the storage type has no packed layout";
  if (row_bytes() > max_staging_bytes / static_cast<size_t>(std::max<int64_t>(1, std::min(rows, min_piece_rows()))))
    return "rows are too long to stage";
  // Every byte count below follows from this one: selected rows are among the file's, and padding takes 15 more for each of them at most.
  uint64_t file_bytes = 0;
  if (rows < 0 || __builtin_mul_overflow(static_cast<uint64_t>(rows), row_bytes(), &file_bytes) || file_bytes > max_weight_bytes)
    return "the weight is larger than any file";
  if (const char* problem = range_problem(row_ranges, rows, 1)) return problem;
  if (matrix_rows < 0 || (matrix_rows > 0 && num_rows() % matrix_rows != 0)) return "rows are no whole number of matrices";
  return range_problem(column_ranges, columns, block_elements);
}

bool WeightSlices::begins_piece(int64_t row) const {
  const int64_t row_of_matrix = matrix_rows > 0 ? row % matrix_rows : row;
  return row_of_matrix % min_piece_rows() == 0 || row == num_rows();
}

int64_t WeightSlices::piece_rows(int64_t first, int64_t most) const {
  const int64_t end = std::min(num_rows(), first + most);
  if (begins_piece(end)) return end - first;
  return end - (matrix_rows > 0 ? end % matrix_rows : end) % min_piece_rows() - first;
}

void store_rows(const WeightSlices& slices, int64_t first_row, int64_t num_rows, const std::byte* file_rows, std::byte* destination) {
  const size_t row_bytes = slices.row_bytes();
  if (slices.layout == Layout::packed) {
    const int64_t num_ranges = static_cast<int64_t>(slices.column_ranges.size() / 2);
    const int64_t matrix_rows = slices.matrix_rows > 0 ? slices.matrix_rows : slices.num_rows();
    const size_t matrix_bytes = packed_byte_length(slices.dtype, matrix_rows, slices.num_columns());
    for (int64_t row = first_row, count = 0; row < first_row + num_rows; row += count) {
      count = std::min(first_row + num_rows - row, matrix_rows - row % matrix_rows);
      const std::byte* from = file_rows + static_cast<size_t>(row - first_row) * row_bytes;
      std::byte* to = destination + static_cast<size_t>(row / matrix_rows) * matrix_bytes;
      pack_rows({from, slices.dtype, slices.columns, row_bytes}, slices.column_ranges.data(), num_ranges, row % matrix_rows, count, to);
    }
    return;
  }
  const auto bytes_of = [&](int64_t elements) { return static_cast<size_t>(elements / slices.block_elements) * slices.block_bytes; };
  std::byte* to = destination + static_cast<size_t>(first_row) * bytes_of(slices.num_columns());
  for (int64_t row = 0; row < num_rows; row++) {
    const std::byte* from = file_rows + static_cast<size_t>(row) * row_bytes;
    for (size_t i = 0; i < slices.column_ranges.size(); i += 2) {
      const size_t length = bytes_of(slices.column_ranges[i + 1]);
      std::memcpy(to, from + bytes_of(slices.column_ranges[i]), length);
      to += length;
    }
  }
}

WeightStore::~WeightStore() { stop_and_join(); }

void WeightStore::load(std::shared_ptr<LoadRequest> request) {
  if (!thread_.joinable()) thread_ = std::thread([this] { loop(); });
  {
    std::lock_guard lock(mutex_);
    requests_.push_back(std::move(request));
  }
  request_added_.notify_one();
}

void WeightStore::stop_and_join() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    if (running_) running_->cancelled.store(true);
    for (const std::shared_ptr<LoadRequest>& request : requests_) request->cancelled.store(true);
  }
  request_added_.notify_one();
  if (thread_.joinable()) thread_.join();
}

void WeightStore::loop() {
  while (true) {
    std::shared_ptr<LoadRequest> request;
    {
      std::unique_lock lock(mutex_);
      running_.reset();
      const auto is_due = [this] { return stopping_ || !requests_.empty(); };
      // The tensors of a model come one by one: only a real pause gives the staging memory back.
      if (!request_added_.wait_for(lock, staging_idle_time, is_due)) staging_.reset();
      request_added_.wait(lock, is_due);
      if (requests_.empty()) return;
      request = std::move(requests_.front());
      requests_.pop_front();
      running_ = request;
    }
    LoadReport report = run(*request);
    report.id = request->id;
    request->buffer.reset();
    events_.load_done(std::move(report));
  }
}

LoadReport WeightStore::run(LoadRequest& request) {
  LoadReport report;
  if (request.cancelled.load()) {
    report.outcome = LoadOutcome::cancelled;
    return report;
  }
  const FileDescriptor file(request.path.c_str());
  struct stat status {};
  if (file.get() < 0 || fstat(file.get(), &status) != 0) {
    report.outcome = LoadOutcome::open_failed;
    report.error_number = errno;
    return report;
  }
  if (!S_ISREG(status.st_mode)) {
    report.outcome = LoadOutcome::open_failed;
    return report;
  }
  report.file_byte_length = static_cast<uint64_t>(status.st_size);
  const uint64_t needed = static_cast<uint64_t>(request.file_rows) * request.slices.row_bytes();
  if (request.file_offset > report.file_byte_length || needed > report.file_byte_length - request.file_offset) {
    report.outcome = LoadOutcome::truncated;
    return report;
  }
#if defined(POSIX_FADV_SEQUENTIAL)
  posix_fadvise(file.get(), static_cast<off_t>(request.file_offset), static_cast<off_t>(needed), POSIX_FADV_SEQUENTIAL);
#endif
  LoadReport pieces = read_pieces(file.get(), request);
  if (pieces.outcome == LoadOutcome::truncated) {
    pieces.file_byte_length = fstat(file.get(), &status) == 0 ? static_cast<uint64_t>(status.st_size) : 0;
  }
  return pieces;
}

LoadReport WeightStore::read_pieces(int file, LoadRequest& request) {
  const WeightSlices& slices = request.slices;
  const size_t row_bytes = slices.row_bytes();
  const int64_t num_rows = slices.num_rows();
  // A group of rows at least, which `problem` has bounded by max_staging_bytes.
  const int64_t fitting_rows = row_bytes == 0 ? 1 : static_cast<int64_t>(piece_bytes / row_bytes);
  const int64_t piece_rows = std::min(num_rows, std::max(fitting_rows, slices.min_piece_rows()));

  LoadReport report;
  const size_t staging_bytes = static_cast<size_t>(piece_rows) * row_bytes;
  if (staging_ && staging_->byte_length() < staging_bytes) staging_.reset();
  if (!staging_) staging_ = Buffer::allocate(staging_bytes, nullptr);
  if (!staging_) {
    report.outcome = LoadOutcome::read_failed;
    report.error_number = ENOMEM;
    return report;
  }
  uint64_t unreported_bytes = 0;
  int64_t reported_ns = monotonic_ns();
  for (int64_t first = 0, count = 0; first < num_rows && report.outcome == LoadOutcome::completed; first += count) {
    count = slices.piece_rows(first, piece_rows);
    std::byte* into = staging_->data();
    const bool complete = for_each_run(slices.row_ranges, first, count, [&](int64_t file_row, int64_t rows) {
      if (request.cancelled.load()) {
        report.outcome = LoadOutcome::cancelled;
        return false;
      }
      const size_t length = static_cast<size_t>(rows) * row_bytes;
      const ssize_t got = read_fully(file, into, length, request.file_offset + static_cast<uint64_t>(file_row) * row_bytes);
      if (got < 0) {
        report.outcome = LoadOutcome::read_failed;
        report.error_number = errno;
        return false;
      }
      unreported_bytes += static_cast<uint64_t>(got);
      into += length;
      if (static_cast<size_t>(got) < length) report.outcome = LoadOutcome::truncated;
      return report.outcome == LoadOutcome::completed;
    });
    if (complete) store_rows(slices, first, count, staging_->data(), request.buffer->data() + request.byte_offset);
    const int64_t now_ns = monotonic_ns();
    if (now_ns - reported_ns >= progress_interval_ns) {
      events_.progress(request.id, std::exchange(unreported_bytes, 0));
      reported_ns = now_ns;
    }
  }
  if (unreported_bytes > 0) events_.progress(request.id, unreported_bytes);
  return report;
}

}  // namespace thermocline
