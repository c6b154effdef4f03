// The kernel tunings that are remembered for this machine.
#pragma once

#include "cli/command.h"
#include "model/runtime.h"
#include "tune/tuning_store.h"

namespace autoglm {

/// What the runtime's tunings are kept under.
KernelKey kernel_key(const Runtime& runtime);

/// What is remembered. A store that cannot be read is a warning and as if there were none; --no-cache reads nothing.
KernelTuning remembered_tuning(const Context& context, const Runtime& runtime);

}  // namespace autoglm
