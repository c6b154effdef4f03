// How much memory this process has resident: what every plan, report and benchmark here means by memory.
#pragma once

#include <cstdint>
#include <filesystem>

namespace autoglm {

/// Bytes, from /proc/self/status; 0 where the system does not say. Resident are anonymous pages and those of mapped
/// files (the model, packs, shared libraries) that this process has touched and not given back, shared with others or
/// not; the system's cache of files beyond them is not in it.
struct ResidentMemory {
  int64_t peak = 0;       // VmHWM, since this program was started; getrusage() would count what started it, too
  int64_t now = 0;        // VmRSS
  int64_t anonymous = 0;  // RssAnon, now
};
ResidentMemory resident_memory(const std::filesystem::path& root = "/");

/// Lets the peak begin anew, from what is resident now (5 into /proc/self/clear_refs). False where the system cannot.
bool forget_resident_peak();

}  // namespace autoglm
