// Log lines on stderr, for people who look for a cause. Answers never go here.
#pragma once

#include <cstdint>
#include <string_view>

namespace autoglm {

enum class LogLevel : uint8_t { trace, debug, info, warn, error, off };

/// By name ("warn"); names that are none of the settings' choices mean warn.
LogLevel log_level(std::string_view name);

/// Thread-safe. Starts at warn. Ask log_enabled() before building an expensive text.
void set_log_level(LogLevel level);
bool log_enabled(LogLevel level);
void log(LogLevel level, std::string_view text);

}  // namespace autoglm
