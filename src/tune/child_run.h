// A workload in a process of its own: `autoglm bench MODEL --workload ... --json` with settings. Memory is the run's
// alone, no cache is warm that another run has warmed, and settings that only a start can change are changed.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "tune/paired.h"
#include "tune/workload_figures.h"

namespace autoglm {

/// Settings as a command line has them: {"--threads", "2", "--kv-type", "q8"}.
using SettingWords = std::vector<std::string>;

struct ChildRun {
  std::string program = "/proc/self/exe";
  std::string model;              // as the user named it, or a path; empty: the words say --shape
  std::string workload = "chat";  // a name or a JSONL file
  SettingWords common{};          // for all runs: {"--requests", "4", "--scale", "0.5"}
  /// Processors that the child may use: those of Machine::allowed, which was read before a pool pinned this thread.
  /// Empty: this thread's.
  std::vector<int> cpus{};
  std::function<bool()> interrupted{};
};

/// Runs `autoglm bench` with `words` behind it and --json; returns what it printed. Errors: as run_in_child().
std::string bench_in_child(const ChildRun& run, const SettingWords& words);

/// Runs the workload with `common` and then `settings` (later words win). What autoglm tune has found is not used
/// (--tuned none), the roofs are not probed. Errors: the child's own (its code, message and hint), work_failed,
/// interrupted.
WorkloadFigures run_in_child(const ChildRun& run, const SettingWords& settings);

/// `b` against `a` in alternating pairs, each run in a child.
struct SettingsComparison {
  PairedRatio ratio;                  // of the goal's cost: below 1, b is better
  std::vector<WorkloadFigures> a, b;  // of every pair
};
SettingsComparison compare_settings(const ChildRun& run, const SettingWords& a, const SettingWords& b, Goal goal,
                                    int pairs, bool warm_up = true);

/// The run whose goal's cost is the median one of several.
const WorkloadFigures& median_run(const std::vector<WorkloadFigures>& runs, Goal goal);

}  // namespace autoglm
