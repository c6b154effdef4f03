// Small text files of /proc and /sys. Nothing here fails: what cannot be read is empty.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace autoglm::hw {

/// The whole file, at most 1 MiB; empty if it cannot be read.
std::string read_text(const std::filesystem::path& path);

/// The file's only line without blanks at its ends.
std::string read_line(const std::filesystem::path& path);

/// A non-negative decimal number, or nothing ("max", "-1", overflow).
std::optional<int64_t> to_number(std::string_view text);

std::vector<std::string> split_words(std::string_view text);
std::vector<std::string> split_lines(std::string_view text);

/// "0-3,8" -> 0 1 2 3 8, the kernel's form of CPU lists. Numbers above 65535 and broken parts are left out.
std::vector<int> parse_cpu_list(std::string_view text);

}  // namespace autoglm::hw
