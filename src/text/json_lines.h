// JSONL files: one JSON object a line.
#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace autoglm {

/// Calls visit(line number from 1, object) for every line that is not empty. Errors: bad_file that names the line (not
/// JSON, not an object, not UTF-8, nested beyond 32 levels).
void for_each_json_line(std::string_view jsonl, const std::string& name,
                        const std::function<void(int64_t line, const nlohmann::json& object)>& visit);

/// Error bad_file: "NAME line N: WHAT".
[[noreturn]] void fail_line(const std::string& name, int64_t line, const std::string& what);

/// The text of a key, which must be there.
std::string line_text(const nlohmann::json& object, const char* key, const std::string& name, int64_t line);

}  // namespace autoglm
