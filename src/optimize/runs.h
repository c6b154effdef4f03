// What the pipeline asks of the outside: a model run as a user would run it, and settings searched for.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "optimize/report.h"
#include "tune/workload_figures.h"

namespace autoglm {

/// Key and value, as a configuration file has them.
using SettingValues = std::vector<std::pair<std::string, std::string>>;

/// A model, with settings that are not the defaults.
struct RunSubject {
  std::filesystem::path model;
  SettingValues settings{};
};

struct FoundSettings {
  std::vector<SettingRecord> settings;  // what is better than the default; none: the default
  std::vector<TrialRecord> trials;
  int64_t peak_rss_bytes = 0;  // of the run that took the most memory
};

/// optimize/child_runs.h runs programs; tests make figures up.
class WorkloadRuns {
 public:
  virtual ~WorkloadRuns() = default;
  /// The workload with so many requests, in a process of its own. Errors: those of the run; interrupted.
  virtual WorkloadFigures run(const RunSubject& subject, int64_t requests) = 0;
  /// Settings under which the workload of so many requests costs less, within so many seconds; never worse than the
  /// default.
  virtual FoundSettings search(const RunSubject& subject, OptimizeGoal goal, int64_t requests, double seconds) = 0;
};

}  // namespace autoglm
