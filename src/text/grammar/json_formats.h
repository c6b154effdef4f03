// JSON Schema's `format`, as regular expressions of what we write for each.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace autoglm {

/// Empty for a format that is not supported. Dates are real days of years 0001 to 9999; times have a zone (RFC 3339).
std::string_view format_pattern(std::string_view format);
std::vector<std::string_view> known_formats();

}  // namespace autoglm
