// What the machine suggests for settings that nobody has set.
#pragma once

#include <string_view>
#include <vector>

#include "base/settings.h"
#include "hw/machine.h"

namespace autoglm {

/// Fills in threads, memory limit, language, and what one setting implies for another. `locale` is LANG's value.
void apply_machine(Settings& settings, const Machine& machine, std::string_view locale);

/// The CPUs that `--affinity` and the thread count ask for; empty: do not pin. Errors: bad_flag.
std::vector<int> affinity_cpus(const Settings& settings, const Machine& machine);

}  // namespace autoglm
