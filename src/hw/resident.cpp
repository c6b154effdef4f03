#include "hw/resident.h"

#include <sys/resource.h>

#include <fstream>

#include "hw/files.h"

namespace autoglm {

ResidentMemory resident_memory(const std::filesystem::path& root) {
  ResidentMemory memory;
  for (const std::string& line : hw::split_lines(hw::read_text(root / "proc/self/status"))) {
    const auto words = hw::split_words(line);  // a name, a number, "kB"
    if (words.size() < 2) continue;
    if (words[0] == "VmHWM:") memory.peak = hw::to_number(words[1]).value_or(0) * 1024;
    if (words[0] == "VmRSS:") memory.now = hw::to_number(words[1]).value_or(0) * 1024;
    if (words[0] == "RssAnon:") memory.anonymous = hw::to_number(words[1]).value_or(0) * 1024;
  }
  if (memory.peak > 0) return memory;
  rusage usage{};  // systems that stand in for Linux may not know VmHWM
  ::getrusage(RUSAGE_SELF, &usage);
  memory.peak = static_cast<int64_t>(usage.ru_maxrss) * 1024;
  return memory;
}

bool forget_resident_peak() {
  std::ofstream file("/proc/self/clear_refs");
  file << "5" << std::flush;
  return file.good();
}

}  // namespace autoglm
