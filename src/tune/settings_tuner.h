// Finds settings for a workload: every choice is measured by running the workload in a process of its own, and race.h
// says which one is next.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "tune/child_run.h"
#include "tune/race.h"
#include "tune/search_space.h"

namespace autoglm {

struct SettingsTuning {
  ChildRun run;
  Goal goal = Goal::latency;
  std::vector<TunedField> fields;
  int64_t requests = 16;          // of the whole workload
  double budget = 600;            // seconds, for everything
  std::function<double()> clock;  // seconds
  std::function<WorkloadFigures(const ChildRun&, const SettingWords&)> measure = run_in_child;
  std::function<void(const std::string&)> note{};  // sentences for people
};

struct SettingChange {
  std::string key, value, usual;
};

struct TunedSettings {
  std::vector<SettingChange> settings;  // none: the defaults are best
  PairedRatio ratio;                    // of cost, by the default's; 1 and no pairs where the default stays
  int64_t measurements = 0;
  double seconds = 0;
  SettingWords size;              // what part of the workload a measurement was: {"--requests", "4", "--scale", "0.5"}
  WorkloadFigures before, after;  // of that part: the default's last run, and the choice's
};

/// Errors: those of the default's runs; interrupted. A choice that cannot be run (it does not fit, the machine refuses
/// it) is out.
TunedSettings tune_settings(const SettingsTuning& tuning);

/// Whether what was found before is still no slower than the default: a few alternating pairs.
bool still_holds(const SettingsTuning& tuning, const std::vector<SettingChange>& settings);

/// The part of a workload of `requests` whose run takes about `wanted` seconds, where a run with kTrialRequests and
/// kTrialScale took `run` seconds beside `load` for the start. Requests and lengths shrink alike.
constexpr int64_t kTrialRequests = 2;
constexpr double kTrialScale = 0.25;
SettingWords workload_size(int64_t requests, double run, double load, double wanted);

}  // namespace autoglm
