// Facts from /proc and /sys. Every path is taken below a root folder, so that tests can show what they do not have.
#pragma once

#include <filesystem>
#include <vector>

#include "hw/machine.h"
#include "tune/facts.h"

namespace autoglm {

/// Counters that only grow. What cannot be read stays 0, so that it never differs.
struct Counters {
  double seconds = 0;  // steady clock
  Throttling throttling;
  int64_t steal_ticks = 0;  // of `cpus`
  int64_t total_ticks = 0;
  int64_t run_delay_ns = 0;  // of all threads of this process
  int64_t major_faults = 0;
  int64_t swap_ins = 0;
};

/// `cpus`: those that this process may use.
Counters read_counters(const std::vector<LogicalCpu>& cpus, const std::filesystem::path& root = "/");

/// What lies between two readings. A counter that went back (a thread ended, a process moved to another cgroup) counts
/// as 0.
Interval between(const Counters& before, const Counters& after);

/// Fills in what the system says about CPUs, quota, pages and clocks.
void read_machine_facts(Facts& facts, const Machine& machine, const std::filesystem::path& root = "/");

}  // namespace autoglm
