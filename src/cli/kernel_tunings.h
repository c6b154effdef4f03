// The kernel tunings that are remembered for this machine.
#pragma once

#include <filesystem>

#include "cli/command.h"
#include "model/runtime.h"
#include "tune/tuning_file.h"

namespace autoglm {

/// What the runtime's tunings are kept under.
TuningKey tuning_key(const Runtime& runtime);

/// Where they lie.
std::filesystem::path tuning_file(const Context& context, const Runtime& runtime);

/// What is remembered. A damaged file is a warning and as if there were none; --no-cache reads nothing.
KernelTuning remembered_tuning(const Context& context, const Runtime& runtime);

}  // namespace autoglm
