// One command of a list: resolves its tensors for the step and calls the kernel.
#pragma once
#include <optional>
#include <string>

#include "thermocline/command_list.h"
#include "thermocline/kernel_table.h"

namespace thermocline {

// Empty when the kernel ran; else what was wrong, in words with the values. Signals and waits are the executor's and must not come here.
std::optional<std::string> run_command(const Command& command, const StepBindings& bindings, const KernelTable& kernels, const Parallel& parallel);

}  // namespace thermocline
