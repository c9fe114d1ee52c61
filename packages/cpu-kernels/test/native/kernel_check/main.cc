// Checks every kernel of every instruction set that this machine has. One line an op; exits with 1 where anything failed.
#include "kernel_check.h"

#include <cstdio>

int main() {
  using namespace thermocline::kernel_check;
  for (const thermocline::KernelTable* table : tables) printf("%s ", table->isa);
  printf("\n");
  check_pack();
  check_embed();
  check_gather_rows();
  check_norms();
  check_matmul();
  check_expert_matmul();
  check_rope();
  check_store_kv();
  check_attention();
  check_experts();
  check_mean_pool();
  check_elementwise();
  check_copies();
  check_sample();
  check_top_logprobs();
  if (failures() > 0) printf("%d checks failed\n", failures());
  return failures() > 0 ? 1 : 0;
}
