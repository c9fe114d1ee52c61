// Running an op on every instruction set, on one thread and on three.
#include "kernel_check.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <thread>

namespace thermocline::kernel_check {
namespace {

void run_serially(void*, int64_t items, int64_t grain, Parallel::Body body, void* context) {
  for (int64_t first = 0; first < items; first += grain) body(context, first, std::min(items, first + grain), 0);
}

void run_on_threads(void*, int64_t items, int64_t grain, Parallel::Body body, void* context) {
  std::atomic<int64_t> next{0};
  const auto work = [&](int thread) {
    for (int64_t first; (first = next.fetch_add(grain)) < items;) body(context, first, std::min(items, first + grain), thread);
  };
  std::vector<std::thread> threads;
  for (int thread = 1; thread < 3; thread++) threads.emplace_back(work, thread);
  work(0);
  for (std::thread& thread : threads) thread.join();
}

std::vector<const KernelTable*> available_tables() {
  std::vector<const KernelTable*> tables{&scalar_kernels};
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c")) tables.push_back(&avx2_kernels);
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni"))
    tables.push_back(&avx512_kernels);
#endif
  return tables;
}

}  // namespace

const Parallel serial{nullptr, 1, run_serially};
const Parallel threaded{nullptr, 3, run_on_threads};
const std::vector<const KernelTable*> tables = available_tables();

bool same_bits(const std::vector<std::byte>& a, const std::vector<std::byte>& b, DType dtype) {
  if (a.size() != b.size()) return false;
  if (dtype != DType::f32) return a == b;
  const float* x = reinterpret_cast<const float*>(a.data());
  const float* y = reinterpret_cast<const float*>(b.data());
  for (size_t i = 0; i < a.size() / 4; i++)
    if (memcmp(x + i, y + i, 4) != 0 && !(std::isnan(x[i]) && std::isnan(y[i]))) return false;
  return true;
}

void for_each_isa(Tensor& out, const Op& op, const std::function<void(const char*)>& verify) {
  const std::vector<std::byte> initial = out.bytes;
  const auto reset = [&] { memcpy(out.bytes.data(), initial.data(), initial.size()); };
  std::vector<std::byte> vector_bits;
  for (const KernelTable* table : tables) {
    reset();
    const Status on_threads = op(*table, threaded);
    const std::vector<std::byte> threaded_bits = out.bytes;
    reset();
    const Status status = op(*table, serial);
    check(status.ok() && on_threads.ok(), "%s: %s (%lld, limit %lld)", table->isa, status.problem, static_cast<long long>(status.value),
          static_cast<long long>(status.limit));
    check(same_bits(out.bytes, threaded_bits, out.view.dtype), "%s: threads change the result", table->isa);
    verify(table->isa);
    if (table == tables.front()) continue;
    if (!vector_bits.empty()) check(same_bits(out.bytes, vector_bits, out.view.dtype), "%s differs from the other vector instruction set", table->isa);
    vector_bits = out.bytes;
  }
  reset();
}

void expect_problem(const Op& op, int64_t value, int64_t limit, const char* what) {
  for (const KernelTable* table : tables) {
    const Status status = op(*table, serial);
    check(!status.ok() && status.value == value && status.limit == limit, "%s: %s gives %s (%lld, %lld)", table->isa, what,
          status.ok() ? "no problem" : status.problem, static_cast<long long>(status.value), static_cast<long long>(status.limit));
  }
}

}  // namespace thermocline::kernel_check
