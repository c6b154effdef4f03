// The user's own requests: JSONL.
#include <fmt/format.h>

#include <cmath>

#include "base/error.h"
#include "text/chat_messages.h"
#include "text/json_lines.h"
#include "text/utf8.h"
#include "tune/workload.h"

namespace autoglm {
namespace {

constexpr double kMostSeconds = 7 * 86400.0;

WorkloadLine line_of(const nlohmann::json& object, const std::string& name, int64_t number) {
  WorkloadLine line;
  for (const auto& [key, value] : object.items()) {
    if (key == "prompt") {
      line.prompt = line_text(object, "prompt", name, number);
    } else if (key == "messages") {
      try {
        line.messages = value.dump();
        parse_messages(line.messages);
      } catch (const Error& error) {
        fail_line(name, number, error.what());
      } catch (const nlohmann::json::exception&) {
        fail_line(name, number, "\"messages\" is not UTF-8");
      }
    } else if (key == "max_tokens") {
      if (!value.is_number_integer() || value.get<double>() < 1 || value.get<double>() > kMostWorkloadTokens) {
        fail_line(name, number, fmt::format("\"max_tokens\" must be 1 to {}", kMostWorkloadTokens));
      }
      line.max_tokens = value.get<int64_t>();
    } else if (key == "at") {
      if (!value.is_number() || !(value.get<double>() >= 0 && value.get<double>() <= kMostSeconds)) {
        fail_line(name, number, "\"at\" must be seconds from the start, a week at most");
      }
      line.at = value.get<double>();
    } else {
      fail_line(name, number,
                fmt::format("there is no key '{}'; known are prompt, messages, max_tokens and at",
                            utf8::valid(key) ? key.substr(0, 40) : "?"));
    }
  }
  if (line.prompt.empty() == line.messages.empty()) fail_line(name, number, "give either \"prompt\" or \"messages\"");
  return line;
}

}  // namespace

std::vector<WorkloadLine> read_workload_lines(std::string_view jsonl, const std::string& name) {
  std::vector<WorkloadLine> lines;
  for_each_json_line(jsonl, name, [&](int64_t number, const nlohmann::json& object) {
    if (lines.size() == kMostWorkloadLines) {
      fail_line(name, number, fmt::format("more than {} requests", kMostWorkloadLines));
    }
    lines.push_back(line_of(object, name, number));
    if (lines.back().at.has_value() != lines.front().at.has_value()) {
      fail_line(name, number, "either every line has \"at\" or none");
    }
  });
  if (lines.empty()) fail(Code::bad_file, fmt::format("{} has no request", name), "each line is one JSON object");
  return lines;
}

}  // namespace autoglm
