// The tables and the page of `bench --sweep`.
#pragma once

#include <string>
#include <vector>

#include "base/language.h"
#include "tune/sweep.h"

namespace autoglm {

/// A table for a terminal.
std::string sweep_text(const Sweep& sweep, Language language);

/// An HTML page without outside resources: each sweep's table and plots, the knee marked.
std::string sweep_page(const std::vector<Sweep>& sweeps, const std::string& model, const std::string& machine,
                       Language language);

}  // namespace autoglm
