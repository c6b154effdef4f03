// Where the processor time of this program goes: every thread is interrupted each time it has used a little of it, and
// its stack is noted. Nothing runs, and nothing is allocated, while nobody asks for a profile.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace autoglm {

struct CpuProfile {
  struct Stack {
    std::string thread;            // its name
    std::vector<uint64_t> frames;  // addresses of code, the innermost first
    int64_t count = 0;             // samples
  };
  std::vector<Stack> stacks;
  double seconds = 0;     // that it took
  int64_t period_ns = 0;  // processor time a sample stands for
  int64_t unix_ns = 0;    // when it began
  int64_t lost = 0;       // samples for which there was no room

  int64_t samples() const;
};

/// Samples for so many seconds, or until `stop` (asked about 20 times a second) is true. One at a time in a process:
/// Error overloaded while another runs; work_failed if the system gives no timers. Uses SIGPROF.
CpuProfile profile_cpu(double seconds, const std::function<bool()>& stop);

}  // namespace autoglm
