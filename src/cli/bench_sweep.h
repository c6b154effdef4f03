// `bench --sweep`: how speed and memory depend on batch, context and threads, as a table, CSV and a page with plots.
#pragma once

#include "cli/command.h"

namespace autoglm {

/// Measures each point in a process of its own, one after the other, and prints the table. Returns the exit code.
int bench_sweep(Context& context);

}  // namespace autoglm
