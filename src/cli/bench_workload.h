// `bench --workload`: requests as users make them, through the engine.
#pragma once

#include "cli/command.h"

namespace autoglm {

/// Runs the workload that the settings name and prints its figures. Returns the exit code.
int bench_workload(Context& context);

}  // namespace autoglm
