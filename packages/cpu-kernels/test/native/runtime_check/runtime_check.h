// What the checks of the runtime without Node share.
#pragma once
#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "thermocline/buffer.h"
#include "thermocline/command_list.h"
#include "thermocline/kernel_table.h"

namespace thermocline::runtime_check {

// Ends the program with exit status 1 and names what does not hold.
void expect(bool condition, const char* what);

inline AllocationMeter new_meter() { return std::make_shared<std::atomic<uint64_t>>(0); }

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

// The checks, one family a file.
void check_pool();
void check_read_bandwidth(const KernelTable& kernels);
void check_buffers();
void check_extents();
void check_decoding();
void check_protocol();
void check_split_steps(const KernelTable& kernels);
void check_stop(const KernelTable& kernels);
void check_weights();

}  // namespace thermocline::runtime_check
