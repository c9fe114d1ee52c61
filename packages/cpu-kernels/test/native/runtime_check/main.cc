// Checks the runtime without Node: pool, buffers, decoding, signals between two executors, cancellation, faults, weight files. Prints a line a
// check and exits with 1 at the first failure. Built with THERMOCLINE_HARNESS=ON and meant for the sanitizers.
#include <cstdio>
#include <cstdlib>

#include "runtime_check.h"
#include "thermocline/instruction_set.h"

namespace thermocline::runtime_check {

void expect(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "FAILED: %s\n", what);
  std::exit(1);
}

}  // namespace thermocline::runtime_check

int main() {
  using namespace thermocline;
  using namespace thermocline::runtime_check;
  check_pool();
  for (const KernelTable* kernels : supported_kernels()) check_read_bandwidth(*kernels);
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
