// A report of `optimize` as JSON for programs, Markdown and one HTML page for people.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "base/language.h"
#include "optimize/report.h"

namespace autoglm {

/// "schema_version" is OptimizeReport::kSchemaVersion; `before` and `after` have the same keys. English.
nlohmann::json optimize_json(const OptimizeReport& report);

std::string optimize_markdown(const OptimizeReport& report, Language language);

/// One page without outside resources; plots are SVG inside it.
std::string optimize_html(const OptimizeReport& report, Language language);

}  // namespace autoglm
