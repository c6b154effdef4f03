#include "hw/files.h"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <sstream>

namespace autoglm::hw {

std::string read_text(const std::filesystem::path& path) {
  constexpr size_t kLimit = 1 << 20;
  std::ifstream file(path, std::ios::binary);
  std::string out;
  char block[4096];
  while (out.size() < kLimit && (file.read(block, sizeof block) || file.gcount() > 0)) {
    out.append(block, static_cast<size_t>(file.gcount()));
  }
  return out;
}

std::string read_line(const std::filesystem::path& path) {
  std::string text = read_text(path);
  text = text.substr(0, text.find('\n'));
  const size_t first = text.find_first_not_of(" \t");
  if (first == std::string::npos) return "";
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

std::optional<int64_t> to_number(std::string_view text) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || value < 0) return std::nullopt;
  return value;
}

std::vector<std::string> split_words(std::string_view text) {
  std::istringstream stream{std::string(text)};
  std::vector<std::string> words;
  for (std::string word; stream >> word;) words.push_back(word);
  return words;
}

std::vector<std::string> split_lines(std::string_view text) {
  std::istringstream stream{std::string(text)};
  std::vector<std::string> lines;
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

std::vector<int> parse_cpu_list(std::string_view text) {
  constexpr int64_t kMaxCpu = 65535;
  std::vector<int> cpus;
  std::istringstream stream{std::string(text)};
  for (std::string part; std::getline(stream, part, ',');) {
    const size_t dash = part.find('-');
    const auto first = to_number(part.substr(0, dash));
    const auto last = dash == std::string::npos ? first : to_number(part.substr(dash + 1));
    if (!first || !last || *last > kMaxCpu) continue;
    for (int64_t cpu = *first; cpu <= *last; ++cpu) cpus.push_back(static_cast<int>(cpu));
  }
  std::sort(cpus.begin(), cpus.end());
  cpus.erase(std::unique(cpus.begin(), cpus.end()), cpus.end());
  return cpus;
}

}  // namespace autoglm::hw
