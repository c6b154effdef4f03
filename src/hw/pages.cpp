#include "hw/pages.h"

#include <array>

#include "hw/files.h"

namespace autoglm {

std::optional<int64_t> huge_page_bytes(const std::filesystem::path& root) {
  static constexpr std::array<std::string_view, 5> kFields = {
      "AnonHugePages:", "ShmemPmdMapped:", "FilePmdMapped:", "Shared_Hugetlb:", "Private_Hugetlb:"};
  std::optional<int64_t> sum;
  for (const std::string& line : hw::split_lines(hw::read_text(root / "proc/self/smaps_rollup"))) {
    const std::vector<std::string> words = hw::split_words(line);  // a name, a number, "kB"
    if (words.size() < 2) continue;
    for (const std::string_view field : kFields) {
      if (words[0] != field) continue;
      if (const auto kilobytes = hw::to_number(words[1])) sum = sum.value_or(0) + *kilobytes * 1024;
    }
  }
  return sum;
}

}  // namespace autoglm
