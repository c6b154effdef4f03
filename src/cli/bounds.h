// The line after `run`: how fast it was, and what bounds it.
#pragma once

#include <optional>
#include <string>

#include "cli/generate.h"
#include "tune/facts.h"
#include "tune/rules.h"

namespace autoglm {

/// "6.1 tok/s, 88 % of memory bandwidth; a smaller type would help". `work`: what the machine did during the answer.
/// Gives the model's memory back first (no engine may be left): the bandwidth is measured on a buffer that must fit
/// beside what is left. Empty if the answer was too short to tell.
std::string what_bounds(const Answer& answer, OpenedModel& opened, const Interval& work);

/// What, other than the program's own work, cost `threads` threads more than a tenth of their speed: a finding of the
/// doctor's from the counters alone.
std::optional<Finding> held_up(const Interval& work, int threads);

/// The read roof for weights of so many bytes; nothing where the ledger has no room for the buffer to read.
std::optional<double> read_roof(const Runtime& runtime, int64_t weights);

/// The line's words. `share`: of memory bandwidth, if it is known; `bits`: a weight.
std::string bounds_line(double tokens_per_second, std::optional<double> share, double bits,
                        const std::optional<Finding>& held);

}  // namespace autoglm
