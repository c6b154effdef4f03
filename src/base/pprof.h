// CPU profiles for others to read: pprof's own format (github.com/google/pprof, proto/profile.proto), and a tree.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/cpu_profiler.h"
#include "base/symbols.h"

namespace autoglm {

/// A Profile message, gzipped as pprof has it on disk: samples and nanoseconds, the thread's name a label of each.
std::string pprof_of(const CpuProfile& profile, Symbolizer& symbols);

/// A gzip file of these bytes, stored as they are: profiles are small and travel once.
std::string gzipped(std::string_view bytes);

/// Stacks from the outside in: the program, its threads, their functions.
struct CallTree {
  std::string name;
  int64_t count = 0;               // samples in it or in what it calls
  std::vector<CallTree> children;  // by name
};
CallTree call_tree_of(const CpuProfile& profile, Symbolizer& symbols);

}  // namespace autoglm
