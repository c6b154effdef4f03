#include "text/json_lines.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"

namespace autoglm {
namespace {

constexpr int kDeepest = 32;

// Parses a line; stops at values nested too deeply, whose destruction would recurse.
nlohmann::json parse_line(std::string_view text, bool& too_deep) {
  const auto watch = [&](int depth, nlohmann::json::parse_event_t, nlohmann::json&) {
    if (depth <= kDeepest) return true;
    too_deep = true;
    return false;  // the value is dropped
  };
  return nlohmann::json::parse(text, watch, false);
}

}  // namespace

void fail_line(const std::string& name, int64_t line, const std::string& what) {
  fail(Code::bad_file, fmt::format("{} line {}: {}", name, line, what), "each line is one JSON object");
}

std::string line_text(const nlohmann::json& object, const char* key, const std::string& name, int64_t line) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_string()) {
    fail_line(name, line, fmt::format("\"{}\" is missing or not a text", key));
  }
  return found->get<std::string>();
}

void for_each_json_line(std::string_view jsonl, const std::string& name,
                        const std::function<void(int64_t line, const nlohmann::json& object)>& visit) {
  int64_t number = 0;
  for (size_t begin = 0; begin < jsonl.size();) {
    const size_t end = std::min(jsonl.find('\n', begin), jsonl.size());
    const std::string_view line = jsonl.substr(begin, end - begin);
    begin = end + 1;
    ++number;
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    bool too_deep = false;
    const nlohmann::json object = parse_line(line, too_deep);
    if (too_deep) fail_line(name, number, "nested beyond 32 levels");
    if (!object.is_object()) fail_line(name, number, "not a JSON object");
    visit(number, object);
  }
}

}  // namespace autoglm
